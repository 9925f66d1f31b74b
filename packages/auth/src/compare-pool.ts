import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

interface Task {
  password: string;
  hash: string;
  resolve: (matches: boolean) => void;
  reject: (error: Error) => void;
}

/** Thrown when the queue is full. */
export class PoolFull extends Error {}

/**
 * Compares passwords with bcrypt hashes in threads of its own: a compare takes a tenth of a second, in which an event
 * loop would answer nobody. Threads start when they are first needed, and stay.
 */
export class ComparePool {
  readonly #size: number;
  readonly #longestQueue: number;
  readonly #queue = new Set<Task>();
  readonly #idle: Worker[] = [];
  readonly #busy = new Map<Worker, Task>();

  constructor({ size, longestQueue }: { size: number; longestQueue: number }) {
    this.#size = size;
    this.#longestQueue = longestQueue;
  }

  get queued(): number {
    return this.#queue.size;
  }

  get running(): number {
    return this.#busy.size;
  }

  /**
   * @param gone ends the wait for a thread; a compare that has begun runs to its end
   * @throws PoolFull when the queue is full, the signal's reason when it ends the wait
   */
  compare(password: string, hash: string, gone: AbortSignal): Promise<boolean> {
    return new Promise((resolve, reject) => {
      gone.throwIfAborted();
      const task = { password, hash, resolve, reject };
      const worker = this.#idle.pop() ?? (this.#busy.size < this.#size ? this.#start() : undefined);
      if (worker !== undefined) {
        this.#run(worker, task);
      } else if (this.#queue.size >= this.#longestQueue) {
        reject(new PoolFull());
      } else {
        this.#queue.add(task);
        gone.addEventListener('abort', () => {
          if (this.#queue.delete(task)) reject(gone.reason);
        });
      }
    });
  }

  #start(): Worker {
    // Beside this file both in the source and in a bundle.
    const worker = new Worker(new URL(`./compare-worker${extname(import.meta.url)}`, import.meta.url));
    worker.on('message', (matches: boolean) => {
      this.#take(worker)?.resolve(matches);
      const next = this.#next();
      if (next === undefined) this.#idle.push(worker);
      else this.#run(worker, next);
    });
    worker.on('error', (error) => {
      // The thread is gone; whoever waits gets a new one.
      const at = this.#idle.indexOf(worker);
      if (at !== -1) this.#idle.splice(at, 1);
      this.#take(worker)?.reject(error as Error);
      const next = this.#next();
      if (next !== undefined) this.#run(this.#start(), next);
    });
    worker.unref();
    return worker;
  }

  #run(worker: Worker, task: Task): void {
    this.#busy.set(worker, task);
    worker.postMessage({ password: task.password, hash: task.hash });
  }

  #take(worker: Worker): Task | undefined {
    const task = this.#busy.get(worker);
    this.#busy.delete(worker);
    return task;
  }

  #next(): Task | undefined {
    const [next] = this.#queue;
    if (next !== undefined) this.#queue.delete(next);
    return next;
  }
}

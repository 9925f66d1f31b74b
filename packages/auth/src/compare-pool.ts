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
    worker.unref();
    worker.on('message', (matches: boolean) => this.#finish(worker, (task) => task.resolve(matches)));
    worker.on('error', (error) => this.#finish(worker, (task) => task.reject(error as Error)));
    worker.on('exit', () => {
      const at = this.#idle.indexOf(worker);
      if (at !== -1) this.#idle.splice(at, 1);
    });
    return worker;
  }

  #run(worker: Worker, task: Task): void {
    this.#busy.set(worker, task);
    worker.postMessage({ password: task.password, hash: task.hash });
  }

  #finish(worker: Worker, settle: (task: Task) => void): void {
    const task = this.#busy.get(worker);
    this.#busy.delete(worker);
    if (task !== undefined) settle(task);
    const [next] = this.#queue;
    if (next === undefined) {
      this.#idle.push(worker);
    } else {
      this.#queue.delete(next);
      this.#run(worker, next);
    }
  }
}

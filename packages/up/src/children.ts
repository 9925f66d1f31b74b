import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

export interface Spec {
  name: string;
  /** The application's port on loopback; health has the next one. */
  port: number;
  args: string[];
}

const HOST = '127.0.0.1';

/** Which of the ports somebody listens on already. */
export async function takenPorts(ports: number[]): Promise<number[]> {
  const taken: number[] = [];
  for (const port of ports) {
    const server = createServer().listen(port, HOST);
    await once(server, 'listening').catch(() => taken.push(port));
    server.close();
  }
  return taken;
}

/** A service as a process of its own; what it prints goes to `onLine`, line by line. */
export class Child {
  readonly name: string;
  /** Rejects when the process has ended. */
  readonly failed: Promise<never>;
  readonly #ended: Promise<unknown>;
  readonly #process: ChildProcess;
  readonly #health: string;

  constructor({ name, port, args }: Spec, env: NodeJS.ProcessEnv, onLine: (line: string) => void) {
    this.name = name;
    this.#health = `http://${HOST}:${port + 1}/readiness`;
    const main = new URL(`../../${name}/src/main.ts`, import.meta.url).pathname;
    const addresses = ['-http', `${HOST}:${port}`, '-health', `${HOST}:${port + 1}`];
    this.#process = spawn(process.execPath, [main, ...addresses, ...args], {
      env,
      // The channel tells the child when its parent is gone, however that ended.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#ended = once(this.#process, 'exit');
    this.failed = this.#ended.then(() => Promise.reject(new Error(`${name} ended: the line above says why`)));
    this.failed.catch(() => {});
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      if (stream) createInterface(stream).on('line', onLine);
    }
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Waits until the service is ready. @throws Error when it ended instead, or after `patience` milliseconds */
  async ready(patience: number): Promise<void> {
    const deadline = Date.now() + patience;
    while (Date.now() < deadline) {
      if (!this.running) throw new Error(`${this.name} ended: the line above says why`);
      const response = await fetch(this.#health).catch(() => undefined);
      if (response?.ok) return;
      await delay(50);
    }
    throw new Error(`${this.name} is not ready after ${patience / 1000} s: its lines above may say why`);
  }

  /** Ends the process, by force when it does not end itself. */
  async stop(): Promise<void> {
    if (!this.running) return;
    this.#process.kill('SIGTERM');
    const force = setTimeout(() => this.#process.kill('SIGKILL'), 12_000);
    await this.#ended;
    clearTimeout(force);
  }
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const startDeadline = 20_000;
const stopDeadline = 10_000;

/** A process that listens; its addresses by the name of the listener, as `127.0.0.1:41235`. */
export interface Server {
  pid: number;
  addresses: Map<string, string>;
  stop: () => Promise<void>;
}

/** Starts processes, and knows all that still run, so that none is left behind. */
export class Processes {
  readonly #running = new Set<ChildProcess>();

  #spawn(command: string[]) {
    const [file = '', ...args] = command;
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#running.add(child);
    child.once('close', () => this.#running.delete(child));
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-2000);
    });
    // Rejects at once when the command cannot be started, as with a file that is not there.
    const closed = once(child, 'close').then(([code, signal]) => ({ result: code ?? signal, stderr: stderr.trim() }));
    return { child, closed };
  }

  /** Starts a server and waits for the "listening" log lines of all `listeners`; its other output is read and dropped. */
  async start(name: string, command: string[], listeners: string[]): Promise<Server> {
    const { child, closed } = this.#spawn(command);
    const addresses = new Map<string, string>();
    const lines = createInterface({ input: child.stdout });
    const listening = new Promise<void>((resolve) => {
      lines.on('line', (line) => {
        if (!line.includes('"listening"')) return;
        const { listener, address } = JSON.parse(line) as { listener: string; address: string };
        addresses.set(listener, address);
        if (listeners.every((wanted) => addresses.has(wanted))) resolve();
      });
    });
    const ended = closed.then(({ result, stderr }) => {
      throw new Error(`${name} ended with ${result} before it listened: ${stderr}`);
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), startDeadline);
    await Promise.race([listening, ended]).finally(() => clearTimeout(timer));
    ended.catch(() => {});
    lines.close();
    child.stdout.resume();
    const stop = async () => {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), stopDeadline);
      await closed.finally(() => clearTimeout(late));
    };
    return { pid: child.pid ?? Number.NaN, addresses, stop };
  }

  /** Runs a command to its end and returns what it wrote to stdout. */
  async run(command: string[]): Promise<string> {
    const { child, closed } = this.#spawn(command);
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    const { result, stderr } = await closed;
    if (result !== 0) throw new Error(`${command.join(' ')} ended with ${result}: ${stderr || stdout.trim()}`);
    return stdout;
  }

  /** For the very end, when there is no time to wait. */
  killAll(): void {
    for (const child of this.#running) child.kill('SIGKILL');
  }
}

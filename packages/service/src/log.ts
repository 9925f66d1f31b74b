import { setTimeout as delay } from 'node:timers/promises';
import { type Logger, pino } from 'pino';

export type Log = Logger;

/**
 * Where log lines go: gathered into pieces, because one write a line would cost more than the request it tells of.
 *
 * Serving never waits for logging: when nobody reads the stream, or its disk is full or its other end closed, lines are
 * dropped and counted.
 */
export class LogStream {
  /** Lines that could not be written since the process began. */
  dropped = 0;
  readonly #stream: NodeJS.WritableStream & { writableLength: number };
  #lines = 0;
  #pending = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: NodeJS.WritableStream & { writableLength: number }) {
    this.#stream = stream;
    // Without a listener the first EPIPE or ENOSPC would end the process; the write's own callback counts the lines.
    stream.on('error', () => {});
  }

  write(line: string): void {
    this.#pending += line;
    this.#lines += 1;
    if (this.#pending.length > 16_384) this.flush();
    // Learners follow their probes live: a line is never held for longer than a blink.
    else this.#timer ??= setTimeout(() => this.flush(), 100).unref();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const lines = this.#lines;
    const text = this.#pending;
    this.#lines = 0;
    this.#pending = '';
    if (lines === 0) return;
    if (this.#stream.writableLength > 1_048_576) {
      this.dropped += lines;
      return;
    }
    this.#stream.write(text, (error) => {
      if (error) this.dropped += lines;
    });
  }

  /** Writes what is left; gives up after `patience` milliseconds, for a reader that has stalled. */
  async end(patience: number): Promise<void> {
    this.flush();
    const written = new Promise<void>((resolve) => this.#stream.write('', () => resolve()));
    await Promise.race([written, delay(patience)]);
  }
}

/** The logger of a process, in pino's shape: one JSON object a line. */
export function createLog(name: string, level: string, stream: LogStream): Log {
  return pino({ name, level, base: { name } }, stream);
}

import { setTimeout as delay } from 'node:timers/promises';
import { type Logger, pino } from 'pino';

export type Log = Logger;

/** Bytes that are written at once, and that may wait for a slow reader. */
const PIECE = 16_384;
const LONGEST_QUEUE = 1_048_576;

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
  // Bytes rather than a growing string: that would be a tree of pieces that the garbage collector copies again and again.
  readonly #pending = Buffer.allocUnsafeSlow(PIECE);
  #used = 0;
  #lines = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: NodeJS.WritableStream & { writableLength: number }) {
    this.#stream = stream;
    // Without a listener the first EPIPE or ENOSPC would end the process; the write's own callback counts the lines.
    stream.on('error', () => {});
  }

  write(line: string): void {
    // No character takes more than three bytes for each of its UTF-16 units.
    if (this.#used + line.length * 3 > PIECE) this.flush();
    if (line.length * 3 > PIECE) {
      this.#send(Buffer.from(line), 1);
      return;
    }
    this.#used += this.#pending.write(line, this.#used);
    this.#lines += 1;
    // Learners follow their probes live: a line is never held for longer than a blink.
    this.#timer ??= setTimeout(() => this.flush(), 100).unref();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#lines > 0) this.#send(Buffer.from(this.#pending.subarray(0, this.#used)), this.#lines);
    this.#used = 0;
    this.#lines = 0;
  }

  #send(piece: Buffer, lines: number): void {
    if (this.#stream.writableLength > LONGEST_QUEUE) {
      this.dropped += lines;
      return;
    }
    this.#stream.write(piece, (error) => {
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

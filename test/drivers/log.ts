import type { LogLine } from '../contract/target.ts';

interface Waiter {
  matches: (line: LogLine) => boolean;
  found: (line: LogLine) => void;
}

/** What a process has written to its log so far, and what it will. */
export class ProcessLog {
  readonly name: string;
  readonly #lines: string[] = [];
  #waiters: Waiter[] = [];
  #rest = '';

  constructor(name: string) {
    this.name = name;
  }

  /** Every complete line, as text. */
  lines(): readonly string[] {
    return this.#lines;
  }

  /** Every line that is a JSON object. */
  entries(): LogLine[] {
    return this.#lines.flatMap(parse);
  }

  add(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      this.#lines.push(line);
      for (const entry of parse(line)) {
        for (const waiter of this.#waiters) if (waiter.matches(entry)) waiter.found(entry);
      }
    }
  }

  /**
   * The first line that matches, past or future.
   *
   * @param deadline milliseconds
   * @throws when none has come by the deadline, with the last lines that did
   */
  waitFor(matches: (line: LogLine) => boolean, deadline = 10_000): Promise<LogLine> {
    const past = this.entries().find(matches);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve, reject) => {
      const forget = () => {
        clearTimeout(timer);
        this.#waiters = this.#waiters.filter((one) => one !== waiter);
      };
      const timer = setTimeout(() => {
        forget();
        const last = this.#lines.slice(-5).join('\n');
        reject(
          new Error(`${this.name} wrote no line where ${matches} within ${deadline} ms; its last lines:\n${last}`),
        );
      }, deadline);
      const waiter = {
        matches,
        found: (line: LogLine) => {
          forget();
          resolve(line);
        },
      };
      this.#waiters.push(waiter);
    });
  }
}

function parse(line: string): LogLine[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}

import { type FSWatcher, watch } from 'node:fs';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

export interface ReloadingOptions<T> {
  /** What is read, for the metric; also the flag that named it: `keys`, `users`. */
  what: string;
  /** The file or directory as that flag gave it. */
  path: string;
  /** The directory to watch: a file's own watch dies when a Secret mount swaps its `..data` symlink. */
  directory: string;
  /** Reads the bytes that matter, as one text to compare; throws what is wrong. */
  read: () => string;
  /** Makes the value of what was read; throws what is wrong; undefined when there is nothing yet. */
  parse: (raw: string) => T | undefined;
  onChange?: (value: T) => void;
  service: { log: Log; metrics: Metrics };
}

/** Editors write in several steps; what they leave after the last is what counts. */
const SETTLE = 50;
/** For file systems that tell of no changes, and directories that were replaced. */
const POLL = 5000;

/** A value read from files, read again when they change. What cannot be used leaves the last good value in place. */
export class Reloading<T> {
  current: T | undefined;
  readonly #options: ReloadingOptions<T>;
  #lastRaw: string | undefined;
  #watcher: FSWatcher | undefined;
  #poll: NodeJS.Timeout;
  #settle: NodeJS.Timeout | undefined;

  /** @throws Error when what is there now cannot be used */
  constructor(options: ReloadingOptions<T>) {
    this.#options = options;
    // Watch first: a change between reading and watching would be missed.
    const changed = () => {
      this.#settle ??= setTimeout(() => {
        this.#settle = undefined;
        this.#reload();
      }, SETTLE).unref();
    };
    this.#poll = setInterval(() => this.#reload(), POLL).unref();
    try {
      this.#watcher = watch(options.directory, { persistent: false }, changed);
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch {
      // No such directory, which reading tells better; or no watches left on this machine: the poll sees changes too.
    }
    try {
      this.#lastRaw = options.read();
      this.current = options.parse(this.#lastRaw);
    } catch (error) {
      this.close();
      throw new Error(`${this.#source}: ${(error as Error).message}`);
    }
  }

  get #source(): string {
    return `-${this.#options.what} ${this.#options.path}`;
  }

  #reload(): void {
    const { what, read, parse, onChange, service } = this.#options;
    const { log, metrics } = service;
    let raw = '';
    try {
      raw = read();
      if (raw === this.#lastRaw) return;
      const value = parse(raw);
      if (value === undefined) throw new Error('nothing is there any more');
      this.current = value;
      onChange?.(value);
      metrics.reloads.inc({ what, result: 'ok' });
      log.info(`${this.#source} was read again`);
    } catch (error) {
      const message = (error as Error).message;
      raw ||= `unreadable: ${message}`;
      // The poll sees the same fault again and again: it is told once.
      if (raw === this.#lastRaw) return;
      metrics.reloads.inc({ what, result: 'failed' });
      log.error(`${this.#source} cannot be used, what was read before stays in use: ${message}`);
    } finally {
      this.#lastRaw = raw;
    }
  }

  close(): void {
    this.#watcher?.close();
    clearInterval(this.#poll);
    clearTimeout(this.#settle);
  }
}

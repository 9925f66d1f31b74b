import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { type Entry, FileProblem, type Files, ownName } from './file-set.ts';
import type { Store } from './fill.ts';

const folderModes = { ca: 0o700, keys: 0o700, tls: 0o755 };
// `.certgen-<time in ms>-<random>`: who reads the keys skips a leading dot.
const temporaryName = /^\.certgen-(\d+)-/;
// The age in ms at which a temporary file was left behind by a run that was killed.
const abandoned = 60_000;

/** The files below a directory, which is made when it is missing. */
export class Directory implements Store {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  nameOf(path: string): string {
    return join(this.#directory, path);
  }

  async read(): Promise<Files> {
    const files = new Map<string, string>();
    await using('.', mkdir(this.#directory, { recursive: true }));
    for (const [folder, mode] of Object.entries(folderModes)) {
      await using(folder, mkdir(this.nameOf(folder), { recursive: true, mode }));
      for (const name of await using(folder, readdir(this.nameOf(folder)))) {
        const path = `${folder}/${name}`;
        const written = Number(temporaryName.exec(name)?.[1] ?? Infinity);
        if (Date.now() - written > abandoned) await using(path, rm(this.nameOf(path), { force: true }));
        if (ownName.test(name)) files.set(path, await using(path, readFile(this.nameOf(path), 'utf8')));
      }
    }
    return files;
  }

  async write(entries: Entry[], found: Files): Promise<string[]> {
    const written: string[] = [];
    for (const { path, text, why } of entries) {
      if (why === undefined) continue;
      // What follows was made to fit a file of ours, and another run's is there.
      if (!(await using(path, store(this.nameOf(path), text, found.has(path))))) break;
      written.push(path);
    }
    return written;
  }
}

/** Writes a whole file or none. False: the file was not to be replaced, and by now there is one. */
async function store(path: string, text: string, replace: boolean): Promise<boolean> {
  const temporary = join(dirname(path), `.certgen-${Date.now()}-${randomUUID()}`);
  try {
    await writeFile(temporary, text, { flag: 'wx', flush: true, mode: path.endsWith('.crt') ? 0o644 : 0o600 });
    // Unlike rename, link fails where another run was faster.
    await (replace ? rename(temporary, path) : link(temporary, path));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Gives a failed system call the path and the line that say what to do. */
async function using<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    throw new FileProblem(path, `${getSystemErrorMessage(errno)}: put that right, or name another directory with -out`);
  }
}

import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { type Entry, FileProblem, type Files } from './file-set.ts';
import { completeJwtKeys } from './jwt-keys.ts';
import { completeTls } from './tls.ts';

const folderModes = { ca: 0o700, keys: 0o700, tls: 0o755 };
// Not those of hidden files, of editors' copies, or of a volume's lost+found.
const ownName = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;
// `.certgen-<time in ms>-<random>`: who reads the keys skips a leading dot.
const temporaryName = /^\.certgen-(\d+)-/;
// The age in ms at which a temporary file was left behind by a run that was killed.
const abandoned = 60_000;
const maxPasses = 10;

/**
 * Makes what a directory lacks, and gives all its files, each with the reason why it was made, if it was.
 *
 * There is no lock that a killed run could leave. Instead, a missing file is created only while it is missing, and who
 * has written something looks at everything again: so whoever writes last has seen that all files fit each other.
 *
 * @throws {FileProblem} for a file that cannot be read, written or put right.
 */
export async function fillDirectory(directory: string, now: Date): Promise<Entry[]> {
  const made = new Map<string, string>();
  await using('.', mkdir(directory, { recursive: true }));
  for (const [folder, mode] of Object.entries(folderModes)) {
    await using(folder, mkdir(join(directory, folder), { recursive: true, mode }));
  }
  for (let pass = 0; pass < maxPasses; pass++) {
    const found = await readFiles(directory);
    const entries = [...(await completeTls(found, now)), ...completeJwtKeys(found)];
    const unfit = entries.filter((entry) => entry.why !== undefined);
    if (unfit.length === 0) return entries.map((entry) => ({ ...entry, why: made.get(entry.path) }));
    for (const { path, text, why = '' } of unfit) {
      // What follows in this pass was made to fit a file of ours, and another run's is there.
      if (!(await using(path, store(join(directory, path), text, found.has(path))))) break;
      made.set(path, why);
    }
  }
  throw new FileProblem('.', 'keeps changing: end what else writes there, then try again');
}

async function readFiles(directory: string): Promise<Files> {
  const files = new Map<string, string>();
  for (const folder of Object.keys(folderModes)) {
    for (const name of await using(folder, readdir(join(directory, folder)))) {
      const path = `${folder}/${name}`;
      const written = Number(temporaryName.exec(name)?.[1] ?? Infinity);
      if (Date.now() - written > abandoned) await using(path, rm(join(directory, path), { force: true }));
      if (ownName.test(name)) files.set(path, await using(path, readFile(join(directory, path), 'utf8')));
    }
  }
  return files;
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

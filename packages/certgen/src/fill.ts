import { type Entry, FileProblem, type Files } from './file-set.ts';
import { completeJwtKeys } from './jwt-keys.ts';
import { completeTls } from './tls.ts';

/** Where the files are. */
export interface Store {
  read(): Promise<Files>;
  /**
   * Writes those entries that have a reason, in their order, whole or not at all.
   * @returns their paths; fewer than there were when another run was faster with one
   */
  write(entries: Entry[], found: Files): Promise<string[]>;
  /** What a path is called where people look for it. */
  nameOf(path: string): string;
}

const maxPasses = 10;

/**
 * Makes what a store lacks, and gives all its files, each with the reason why it was made, if it was.
 *
 * There is no lock that a killed run could leave. Instead, a missing file is created only while it is missing, and who
 * has written something looks at everything again: so whoever writes last has seen that all files fit each other.
 *
 * @throws {FileProblem} for a file that cannot be read, written or put right.
 */
export async function fill(store: Store, now: Date): Promise<Entry[]> {
  const made = new Map<string, string>();
  for (let pass = 0; pass < maxPasses; pass++) {
    const found = await store.read();
    const entries = [...(await completeTls(found, now)), ...completeJwtKeys(found)];
    const reasons = new Map(entries.flatMap(({ path, why }) => (why === undefined ? [] : [[path, why]])));
    if (reasons.size === 0) return entries.map((entry) => ({ ...entry, why: made.get(entry.path) }));
    for (const path of await store.write(entries, found)) made.set(path, reasons.get(path) ?? '');
  }
  throw new FileProblem('.', 'keeps changing: end what else writes there, then try again');
}

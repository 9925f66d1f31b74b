import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Command prefixes that put a process onto cores; all empty where the system cannot pin. */
export interface Cores {
  pinned: boolean;
  count: number;
  server: string[];
  load: string[];
  all: string[];
}

/** The cores of a list as Linux writes it: `0-2,5` is 0, 1, 2, 5. */
export const parseCoreList = (list: string): number[] =>
  list.split(',').flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });

/** Gives the servers one core and the load another, and moves this process to the load's. */
export const assignCores = (): Cores => {
  const count = availableParallelism();
  const unpinned = { pinned: false, count, server: [], load: [], all: [] };
  if (process.platform !== 'linux' || spawnSync('taskset', ['--version']).error) return unpinned;
  const list = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  const [server, load] = parseCoreList(list);
  if (server === undefined || load === undefined) return unpinned;
  execFileSync('taskset', ['-a', '-c', '-p', `${load}`, `${process.pid}`]);
  const prefix = (cores: string | number) => ['taskset', '-c', `${cores}`];
  return { pinned: true, count, server: prefix(server), load: prefix(load), all: prefix(list) };
};

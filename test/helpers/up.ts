import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { freePorts, until } from './operations.ts';

/** Of the monolith, hello, auth and the edge; each has its health one port above. */
export const offsets = [0, 2, 4, 363];
const main = fileURLToPath(new URL('../../packages/up/src/main.ts', import.meta.url));

export interface Running {
  pid: number;
  name: string;
}

/** What runs now below a process; what has ended and is not yet reaped does not count. */
function childrenOf(parent: number): Running[] {
  return readdirSync('/proc').flatMap((pid) => {
    const [, state, ppid] = /^\d+ \(.*\) (\S) (\d+)/s.exec(read(`/proc/${pid}/stat`)) ?? [];
    if (Number(ppid) !== parent || state === 'Z') return [];
    const [, name = '?'] = /packages\/(\w+)\//.exec(read(`/proc/${pid}/cmdline`)) ?? [];
    return [{ pid: Number(pid), name }];
  });
}

export const isRunning = ({ pid }: Running) => /^\d+ \(.*\) [^Z]/s.test(read(`/proc/${pid}/stat`));

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** What `make up` runs, in a directory of certificates and keys; as a terminal does, in a process group of its own. */
export async function up(directory: string, ...args: string[]) {
  const base = await freePorts(offsets.flatMap((offset) => [offset, offset + 1]));
  const child = spawn(process.execPath, [main, '-port', String(base), ...args], {
    cwd: directory,
    env: {},
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const pid = child.pid ?? 0;
  const exited = once(child, 'exit');
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  onTestFinished(() => {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {}
  });
  return {
    pid,
    base,
    exited,
    stdout: () => stdout,
    stderr: () => stderr,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    /** Ctrl-C goes to everybody in the foreground. */
    interrupt: () => process.kill(-pid, 'SIGINT'),
    children: () => childrenOf(pid),
    ready: () => until('up is ready', () => stdout.includes('Ctrl-C here'), 40_000),
  };
}

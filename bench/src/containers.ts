import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Cores } from './cores.ts';
import type { Processes } from './processes.ts';

/** The base of every image, on which the yardstick runs too. */
export const base = 'gcr.io/distroless/nodejs26-debian13:nonroot';
export const images = ['monolith', 'hello', 'auth', 'certgen'].map((name) => `${name}:1.0.0`);

const file = fileURLToPath(new URL('../../docker/compose.yaml', import.meta.url));
const project = ['docker', 'compose', '--project-name', 'kubernetes-101-bench', '--file', file];
const rawServer = fileURLToPath(new URL('raw-server.js', import.meta.url));

export const dockerAnswers = (): boolean => spawnSync('docker', ['version']).status === 0;

/** The children of a process, and theirs; nginx works in some. Nothing where there is no /proc. */
const descendants = (pid: number): number[] => {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
    return children.map(Number).flatMap((child) => [child, ...descendants(child)]);
  } catch {
    return [];
  }
};

export interface Stack {
  /** Of nginx. */
  origin: string;
  /** Of nginx, hello and auth. */
  pids: number[];
}

/** The split form behind nginx, as `docker compose up` starts it, on the servers' core. */
export const startStack = async (processes: Processes, cores: Cores): Promise<Stack> => {
  const services = ['frontend', 'hello', 'auth'];
  const compose = (...args: string[]) => processes.run(['env', 'FRONTEND_PORT=0', ...project, ...args]);
  await compose('up', '--no-build', '--detach', '--wait', ...services);
  const ids = (await compose('ps', '--quiet', ...services)).trim().split('\n');
  const core = cores.server.at(-1);
  if (core !== undefined) await processes.run(['docker', 'update', '--cpuset-cpus', core, ...ids]);
  const [address = ''] = (await compose('port', 'frontend', '8443')).trim().split('\n');
  const format = '{{.State.Pid}}';
  const pids = (await processes.run(['docker', 'inspect', '--format', format, ...ids])).trim().split('\n').map(Number);
  return { origin: `https://${address}`, pids: pids.flatMap((pid) => [pid, ...descendants(pid)]) };
};

/** Removes the stack; in a hurry where the program ends. */
export const removeStack = (): void => {
  spawnSync(project[0] as string, [...project.slice(1), 'down', '--volumes', '--timeout', '1']);
};

/** A server in a container; `remove` ends it. */
export interface Container {
  origin: string;
  remove: () => Promise<unknown>;
}

const startContainer = async (processes: Processes, args: string[]): Promise<Container> => {
  const published = ['--publish', '127.0.0.1::8080'];
  const id = (await processes.run(['docker', 'run', '--detach', '--rm', ...published, ...args])).trim();
  const address = (await processes.run(['docker', 'port', id, '8080'])).trim();
  return { origin: `http://${address}`, remove: () => processes.run(['docker', 'rm', '--force', id]) };
};

/** What the images are compared with: the bare server on their base. */
export const startRaw = (processes: Processes, answers: string): Promise<Container> =>
  startContainer(processes, [
    '--volume',
    `${rawServer}:/raw-server.js:ro`,
    base,
    '/raw-server.js',
    answers,
    '0.0.0.0:8080',
  ]);

export const startMonolith = (processes: Processes): Promise<Container> =>
  startContainer(processes, ['monolith:1.0.0']);

/** Bytes that an image has on top of its base. */
export const sizeOnBase = async (processes: Processes, image: string): Promise<number> => {
  const inspect = ['docker', 'image', 'inspect', '--format', '{{.Size}}', image, base];
  const [own = Number.NaN, below = Number.NaN] = (await processes.run(inspect)).trim().split('\n').map(Number);
  return own - below;
};

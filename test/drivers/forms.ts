import type { Target } from '../contract/target.ts';
import { type Materials, makeMaterials } from './materials.ts';
import { type ServiceProcess, start } from './processes.ts';

/** Starts the processes of a form, and gives the one that clients talk to. */
type Launch = (begin: typeof start, materials: Materials) => Promise<ServiceProcess>;

/** One form of the application as real processes; its target answers between `start` and `stop`. */
export class Form {
  readonly target: Target;
  readonly processes: ServiceProcess[] = [];
  readonly #launch: Launch;
  #materials: Materials | undefined;
  #front: ServiceProcess | undefined;

  constructor(name: string, launch: Launch) {
    this.#launch = launch;
    this.target = {
      name,
      front: 'node',
      app: () => ({ url: this.#front?.url ?? '', ca: this.#materials?.ca }),
      health: () => this.processes.map((process) => ({ name: process.name, url: process.healthUrl })),
      logs: () => this.processes.map((process) => process.log),
      signingKey: () => (this.#materials as Materials).signingKey,
    };
  }

  async start(): Promise<void> {
    this.#materials = await makeMaterials();
    this.#front = await this.#launch(async (...parameters) => {
      const process = await start(...parameters);
      this.processes.push(process);
      return process;
    }, this.#materials);
  }

  /** Stops what was started, the last first. @throws when a process does not exit with 0 */
  async stop(): Promise<void> {
    try {
      for (const process of this.processes.toReversed()) await process.stop();
    } finally {
      await this.#materials?.remove();
    }
  }
}

export const monolithForm = () => new Form('the monolith', (begin, { keys }) => begin('monolith', ['-keys', keys]));

export const splitForm = () =>
  new Form('hello and auth behind the edge', async (begin, { keys, tls }) => {
    const services = [begin('hello', ['-keys', keys]), begin('auth', ['-keys', keys])] as const;
    const [hello, auth] = await Promise.all(services);
    return begin('edge', ['-tls', tls, '-hello', hello.url, '-auth', auth.url]);
  });

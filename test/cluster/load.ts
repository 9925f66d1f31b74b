import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ProcessLog } from '../drivers/log.ts';
import type { Namespace } from './namespace.ts';

const controlPlane = { key: 'node-role.kubernetes.io/control-plane', operator: 'Exists' };
/** If that takes pods: what happens to other nodes does not happen to it. */
const onControlPlane = {
  tolerations: [controlPlane],
  affinity: {
    nodeAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 100, preference: { matchExpressions: [controlPlane] } },
      ],
    },
  },
};
const script = fileURLToPath(new URL('load.js', import.meta.url));

/** What load.js writes once a second. */
interface Counts {
  second: number;
  /** The second in which the oldest of the requests that have no answer yet began. */
  oldest: number;
  /** Requests with the right answer so far, by URL. */
  answered: Record<string, number>;
  failed: number;
  /** Answers of /secure, by the kid of the token's key. */
  accepted: Record<string, number>;
  /** Of the keys whose tokens it uses now. */
  kids: string[];
}

export interface Failure {
  failure: string;
  url: string;
}

/** Requests from a pod, on kept connections, from when it is started until its namespace is removed. */
export class ClusterLoad {
  readonly #log: ProcessLog;

  private constructor(log: ProcessLog) {
    this.#log = log;
  }

  /** @param clients how many connections, by URL; each sends some 12 requests a second */
  static async start(namespace: Namespace, clients: Record<string, number>): Promise<ClusterLoad> {
    const ca = (await namespace.secret('tls-certs'))['ca.crt'];
    const login = Object.keys(clients).find((url) => url.startsWith('https:'));
    const options = `const options = ${JSON.stringify({ clients, login, ca })};\n`;
    await namespace.pod('load', { app: 'client' }, options + (await readFile(script, 'utf8')), onControlPlane);
    const load = new ClusterLoad(namespace.log('load', 'client', 'load'));
    await load.goesOn();
    return load;
  }

  /** Waits until all requests of before have ended, and others that began in what is now the state of things. */
  async goesOn(): Promise<Counts> {
    const seen = this.#log.entries().filter((line) => 'second' in line).length;
    // The last line that has come tells of a second that is over.
    return this.#waitFor(({ oldest }) => oldest > seen + 1);
  }

  /** Waits until it has no token that another key than this one signed. */
  async usesOnly(kid: string): Promise<Counts> {
    await this.goesOn();
    return this.#waitFor(({ kids }) => kids.join() === kid);
  }

  /** What was answered while something was done, and what was not. */
  async during(action: () => Promise<unknown>): Promise<{ answered: number; failures: Failure[] }> {
    const before = total(await this.goesOn());
    const failedBefore = this.failures().length;
    await action();
    return { answered: total(await this.goesOn()) - before, failures: this.failures().slice(failedBefore) };
  }

  failures(): Failure[] {
    return this.#log.entries().filter((line) => 'failure' in line) as unknown as Failure[];
  }

  async #waitFor(matches: (counts: Counts) => boolean): Promise<Counts> {
    const isThat = (line: object) => 'second' in line && matches(line as Counts);
    return (await this.#log.waitFor(isThat, 60_000)) as unknown as Counts;
  }
}

const total = ({ answered }: Counts) => Object.values(answered).reduce((sum, count) => sum + count, 0);

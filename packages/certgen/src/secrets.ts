import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { type Entry, FileProblem, type Files, ownName } from './file-set.ts';
import type { Store } from './fill.ts';

/** The Secret that holds each folder's files, in the order in which to write them. */
const secretOf = { ca: 'tls-ca', tls: 'tls-certs', keys: 'jwt-keys' };
/** Names this program in each Secret's managedFields; what it has set is none of `kubectl apply`'s. */
const fieldManager = 'certgen';
const attempts = 10;
/** Between two attempts, in milliseconds. */
const pause = 500;

interface Secret {
  metadata: { resourceVersion: string };
  data?: Record<string, string>;
}

/** Where the API server is, and who asks. */
export interface Api {
  /** Of the namespace, such as `https://10.96.0.1:443/api/v1/namespaces/default`. */
  url: string;
  token: string;
}

/** @param mount where a pod finds its service account @throws {FileProblem} where there is none */
export function inClusterApi(
  environment: Record<string, string | undefined>,
  mount = '/var/run/secrets/kubernetes.io/serviceaccount',
): Api {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment;
  if (host === undefined)
    throw new FileProblem('', '-secrets works in a pod only: elsewhere name a directory with -out');
  try {
    const [ca, token, namespace] = ['ca.crt', 'token', 'namespace'].map((name) =>
      readFileSync(`${mount}/${name}`, 'utf8'),
    );
    setDefaultCACertificates([...getCACertificates(), ca as string]);
    const authority = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    return { url: `https://${authority}/api/v1/namespaces/${namespace}`, token: token as string };
  } catch (error) {
    throw new FileProblem('', `the pod has no service account token mounted: ${(error as Error).message}`);
  }
}

/**
 * The files in three Secrets, which must be there: this program may fill them, and no more.
 *
 * All that is missing in one Secret goes into one patch, which the API server refuses when somebody else has changed the
 * Secret since it was read: so a certificate and its key always belong together.
 */
export class Secrets implements Store {
  readonly #api: Api;
  readonly #versions = new Map<string, string>();

  constructor(api: Api) {
    this.#api = api;
  }

  nameOf(path: string): string {
    const [folder = '', name] = path.split('/');
    const secret = secretOf[folder as keyof typeof secretOf];
    return secret === undefined ? 'Secrets' : `Secret ${secret}${name === undefined ? '' : `, ${name}`}`;
  }

  async read(): Promise<Files> {
    const files = new Map<string, string>();
    for (const [folder, name] of Object.entries(secretOf)) {
      const { metadata, data = {} } = (await this.#request('GET', folder, name)) as Secret;
      this.#versions.set(name, metadata.resourceVersion);
      for (const [key, value] of Object.entries(data))
        if (ownName.test(key)) files.set(`${folder}/${key}`, Buffer.from(value, 'base64').toString());
    }
    return files;
  }

  async write(entries: Entry[]): Promise<string[]> {
    const written: string[] = [];
    for (const [folder, name] of Object.entries(secretOf)) {
      const unfit = entries.filter(({ path, why }) => why !== undefined && path.startsWith(`${folder}/`));
      if (unfit.length === 0) continue;
      const data = unfit.map(({ path, text }) => [path.slice(folder.length + 1), Buffer.from(text).toString('base64')]);
      const metadata = { resourceVersion: this.#versions.get(name) };
      const patched = await this.#request('PATCH', folder, name, { metadata, data: Object.fromEntries(data) });
      // What follows was made to fit a file of ours, and another run's is there.
      if (patched === undefined) break;
      written.push(...unfit.map(({ path }) => path));
    }
    return written;
  }

  /** @returns the Secret; undefined when somebody else has changed it (409) */
  async #request(method: string, folder: string, name: string, patch?: object): Promise<Secret | undefined> {
    const url = `${this.#api.url}/secrets/${name}?fieldManager=${fieldManager}`;
    const headers = { authorization: `Bearer ${this.#api.token}`, 'content-type': 'application/merge-patch+json' };
    let problem = '';
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      if (attempt > 0) await delay(pause);
      try {
        const init = { method, headers, signal: AbortSignal.timeout(10_000) };
        const response = await fetch(url, patch === undefined ? init : { ...init, body: JSON.stringify(patch) });
        if (response.ok) return (await response.json()) as Secret;
        if (response.status === 409) return undefined;
        problem = explain(response.status, method);
        if (response.status < 500 && response.status !== 429) break;
      } catch (error) {
        problem = `the API server does not answer (${(error as { cause?: Error }).cause?.message ?? (error as Error).message})`;
      }
    }
    throw new FileProblem(folder, problem);
  }
}

function explain(status: number, method: string): string {
  if (status === 404) return 'is not there: kubectl apply -f k8s/ declares it';
  if (status === 403) return `this service account may not ${method} it: the Role certgen must be bound to it`;
  if (status === 401) return 'the service account token is not accepted';
  return `the API server answers ${status}`;
}

import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  AppsV1Api,
  CoreV1Api,
  DiscoveryV1Api,
  dumpYaml,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  loadYaml,
  type V1Pod,
  type V1PodSpec,
  type V1Secret,
} from '@kubernetes/client-node';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { run } from '../drivers/containers.ts';
import { ProcessLog } from '../drivers/log.ts';
import { connectToPod, Listeners, Tunnel } from './tunnel.ts';

export const k8s = fileURLToPath(new URL('../../k8s', import.meta.url));
const relay = fileURLToPath(new URL('relay.js', import.meta.url));
export const partOf = 'app.kubernetes.io/part-of=kubernetes-101';
const restricted = ['enforce', 'warn', 'audit'].flatMap((mode) => [
  `pod-security.kubernetes.io/${mode}=restricted`,
  `pod-security.kubernetes.io/${mode}-version=latest`,
]);

export interface SetOptions {
  /** Below k8s; otherwise its top. */
  folder?: string;
  /** Of all images and labels. */
  version?: string;
  /** Fixed node ports can be had by one namespace at a time; otherwise the cluster chooses. */
  nodePorts?: boolean;
  /** Texts to replace, each of which must be there. */
  replace?: Record<string, string>;
}

/** A namespace of its own for the tests of a file, between its first and its last; what fails is shown with its state. */
export function useNamespace(): Namespace {
  const namespace = new Namespace();
  beforeAll(() => namespace.create());
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') process.stderr.write(await namespace.describe());
  });
  afterAll(() => namespace.remove(), 120_000);
  return namespace;
}

/** A namespace that enforces Pod Security `restricted`, and what is in it. */
export class Namespace {
  readonly name = `test-${randomUUID().slice(0, 8)}`;
  readonly config = new KubeConfig();
  readonly core: CoreV1Api;
  readonly apps: AppsV1Api;
  readonly discovery: DiscoveryV1Api;
  readonly #objects: KubernetesObjectApi;
  readonly #listeners = new Listeners();
  readonly #following: { kill(): void }[] = [];
  #tunnel: Promise<Tunnel> | undefined;

  constructor() {
    this.config.loadFromDefault();
    this.#objects = KubernetesObjectApi.makeApiClient(this.config);
    this.core = this.config.makeApiClient(CoreV1Api);
    this.apps = this.config.makeApiClient(AppsV1Api);
    this.discovery = this.config.makeApiClient(DiscoveryV1Api);
  }

  /** Creates an object of any kind in it. */
  async add(object: KubernetesObject): Promise<void> {
    await this.#objects.create({ ...object, metadata: { ...object.metadata, namespace: this.name } });
  }

  async create(): Promise<void> {
    process.once('exit', this.#removeAtOnce).once('SIGTERM', this.#removeAndEnd);
    await run('kubectl', ['create', 'namespace', this.name]);
    await run('kubectl', ['label', 'namespace', this.name, ...restricted]);
    // A pod that names no account is refused until this one is there.
    await this.kubectl('wait', '--for=create', 'serviceaccount/default', '--timeout=30s');
  }

  /** Removes it with all that is in it; nobody waits for those who end in order. */
  async remove(): Promise<void> {
    for (const child of this.#following) child.kill();
    (await this.#tunnel?.catch(() => undefined))?.close();
    this.#listeners.close();
    await this.kubectl('delete', 'deployments,replicasets,jobs', '--all', '--cascade=orphan');
    await this.kubectl('delete', 'pods', '--all', '--grace-period=0', '--force');
    await run('kubectl', ['delete', 'namespace', this.name]);
    process.off('exit', this.#removeAtOnce).off('SIGTERM', this.#removeAndEnd);
  }

  /** In this namespace. @returns what it wrote to stdout @throws with what it wrote to stderr */
  kubectl(...args: string[]): Promise<string> {
    return run('kubectl', ['--namespace', this.name, ...args]);
  }

  /** A configuration for kubectl in which this namespace is the default. @param token of somebody else who asks */
  async writeKubeconfig(path: string, token?: string): Promise<void> {
    const config = JSON.parse(await this.kubectl('config', 'view', '--minify', '--raw', '--flatten', '--output=json'));
    const [context] = config.contexts;
    context.context.namespace = this.name;
    if (token !== undefined) {
      config.users = [{ name: 'other', user: { token } }];
      context.context.user = 'other';
    }
    await writeFile(path, dumpYaml(config), { mode: 0o600 });
  }

  /** `kubectl apply -f k8s/`, of a copy. @returns what it said of each object */
  async apply(options: SetOptions = {}, ...flags: string[]): Promise<string[]> {
    const directory = await copyOf(options);
    try {
      return (await this.kubectl('apply', '-f', directory, ...flags)).trim().split('\n');
    } finally {
      await rm(directory, { recursive: true });
    }
  }

  /** Waits until all of the set is Ready, as it is declared now. @throws with the state of the namespace */
  async ready(seconds = 180): Promise<void> {
    try {
      await Promise.all([
        this.kubectl('rollout', 'status', 'deployment', '--selector', partOf, `--timeout=${seconds}s`),
        this.kubectl('wait', '--for=condition=Ready', 'pod/monolith', `--timeout=${seconds}s`),
      ]);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${await this.describe()}`);
    }
  }

  /** The pod of k8s/pods/client.yaml, Ready. */
  async client(): Promise<void> {
    await this.kubectl('apply', '-f', join(k8s, 'pods/client.yaml'));
    await this.kubectl('wait', '--for=condition=Ready', 'pod/client', '--timeout=60s');
  }

  /**
   * A pod like the client, Ready, under another name and with other labels.
   *
   * @param script what Node runs in it, until it listens on 8080; otherwise it is there to curl from
   * @param spec what else it has, such as where it runs
   * @returns its address
   */
  async pod(
    name: string,
    labels: Record<string, string>,
    script?: string,
    spec: Partial<V1PodSpec> = {},
  ): Promise<string> {
    const pod = loadYaml<V1Pod>(await readFile(join(k8s, 'pods/client.yaml'), 'utf8'));
    const container = pod.spec?.containers[0];
    if (container === undefined) throw new Error('k8s/pods/client.yaml has no container');
    if (script !== undefined) {
      // An image that has Node, and is there.
      container.image = 'certgen:1.0.0';
      container.command = ['/nodejs/bin/node', '--input-type=module', '--eval', script];
      container.readinessProbe = { tcpSocket: { port: 8080 }, periodSeconds: 1 };
      container.resources = { requests: { cpu: '50m', memory: '64Mi' }, limits: { cpu: '1', memory: '256Mi' } };
    }
    Object.assign(pod.spec ?? {}, spec);
    await this.core.createNamespacedPod({ namespace: this.name, body: { ...pod, metadata: { name, labels } } });
    await this.kubectl('wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s');
    return (await this.core.readNamespacedPod({ namespace: this.name, name })).status?.podIP ?? '';
  }

  /** Runs a command in a pod. @returns what it wrote to stdout @throws with what it wrote to stderr */
  exec(pod: string, ...command: string[]): Promise<string> {
    return this.kubectl('exec', pod, '--', ...command);
  }

  /** Pods with this label, without those that end, in the order of their names. */
  async pods(labelSelector: string): Promise<V1Pod[]> {
    const { items } = await this.core.listNamespacedPod({ namespace: this.name, labelSelector });
    return items
      .filter(({ metadata, status }) => metadata?.deletionTimestamp === undefined && status?.phase !== 'Succeeded')
      .sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
  }

  /** The names of pods with this label that are about to end. */
  async endingPods(labelSelector: string): Promise<string[]> {
    const { items } = await this.core.listNamespacedPod({ namespace: this.name, labelSelector });
    return items.filter(({ metadata }) => metadata?.deletionTimestamp !== undefined).map(nameOf);
  }

  /** The texts in a Secret. */
  async secret(name: string): Promise<Record<string, string>> {
    const { data = {} }: V1Secret = await this.core.readNamespacedSecret({ namespace: this.name, name });
    return Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
    );
  }

  /** Of endpoints of a Service that get its requests: the pods' names, in order. */
  async endpoints(service: string): Promise<string[]> {
    const labelSelector = `kubernetes.io/service-name=${service}`;
    const { items } = await this.discovery.listNamespacedEndpointSlice({ namespace: this.name, labelSelector });
    const ready = items.flatMap(({ endpoints }) => endpoints ?? []).filter(({ conditions }) => conditions?.ready);
    return ready.map(({ targetRef }) => targetRef?.name ?? '').sort();
  }

  /** A port of a pod, as `kubectl port-forward` gives it. @returns `127.0.0.1:port` */
  forward(pod: string, port: number): Promise<string> {
    return this.#listeners.listen(async (socket) => {
      try {
        const connection = await connectToPod(this.config, this.name, pod, port);
        socket.pipe(connection).pipe(socket);
        connection.on('error', () => socket.destroy());
        socket.on('close', () => connection.destroy());
      } catch {
        socket.destroy();
      }
    });
  }

  /** Connections from a pod of the cluster, which has the label `app: client`. @returns `127.0.0.1:port` */
  async inside(authority: string): Promise<string> {
    this.#tunnel ??= this.#startRelay();
    const tunnel = await this.#tunnel;
    return this.#listeners.listen((socket) => tunnel.connect(socket, authority));
  }

  /** What a container has written to its log, and will; `name` is what its lines call it. */
  log(pod: string, container: string, name = container): ProcessLog {
    const log = new ProcessLog(name);
    const args = ['--namespace', this.name, 'logs', '--follow', pod, '--container', container];
    const child = spawn('kubectl', args, { stdio: ['ignore', 'pipe', 'ignore'] });
    child.stdout.setEncoding('utf8').on('data', (text: string) => log.add(text));
    this.#following.push(child);
    return log;
  }

  /** Resources, events and the end of every log, to be read by a person. */
  async describe(): Promise<string> {
    const look = (...args: string[]) => this.kubectl(...args).catch((error: Error) => `${error.message}\n`);
    const pods = (await look('get', 'pods', '--output=name')).trim().split('\n').filter(Boolean);
    const parts: [string, string][] = [
      ['resources', await look('get', 'all,jobs,endpointslices', '--output=wide')],
      ['events', await look('get', 'events', '--sort-by=.lastTimestamp')],
    ];
    for (const pod of pods)
      parts.push([pod, await look('logs', pod, '--all-containers', '--prefix', '--tail=30', '--ignore-errors')]);
    return parts.map(([title, text]) => `--- ${this.name}: ${title}\n${text}`).join('');
  }

  async #startRelay(): Promise<Tunnel> {
    await this.pod('relay', { app: 'client' }, await readFile(relay, 'utf8'));
    return new Tunnel(await connectToPod(this.config, this.name, 'relay', 8080));
  }

  // A test run that ends early leaves no namespace behind; vitest ends its workers with SIGTERM.
  readonly #removeAtOnce = () => {
    spawnSync('kubectl', ['delete', 'namespace', this.name, '--wait=false']);
  };
  readonly #removeAndEnd = () => {
    this.#removeAtOnce();
    process.kill(process.pid, 'SIGTERM');
  };
}

export const nameOf = (object: { metadata?: { name?: string } }): string => object.metadata?.name ?? '';

/** How often the containers of a pod were started again, by name. */
export function restarts({ status }: V1Pod): Record<string, number> {
  const statuses = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  return Object.fromEntries(statuses.map(({ name, restartCount }) => [name, restartCount]));
}

/** The files of one folder, changed, in a directory of their own. */
async function copyOf({
  folder = '',
  version = '1.0.0',
  nodePorts = false,
  replace = {},
}: SetOptions): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'kubernetes-101-'));
  const missing = new Set(Object.keys(replace));
  for (const file of (await readdir(join(k8s, folder))).filter((name) => name.endsWith('.yaml'))) {
    let text = (await readFile(join(k8s, folder, file), 'utf8')).replaceAll('1.0.0', version);
    if (!nodePorts) text = text.replace(/, nodePort: \d+/g, '');
    for (const [from, to] of Object.entries(replace)) {
      if (text.includes(from)) missing.delete(from);
      text = text.replaceAll(from, to);
    }
    await writeFile(join(directory, file), text);
  }
  if (missing.size > 0) throw new Error(`k8s/${folder} has no ${[...missing].join(', no ')}`);
  return directory;
}

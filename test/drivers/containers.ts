import { execFile, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { SigningKey, Target } from '../contract/target.ts';
import { ProcessLog } from './log.ts';

const docker = fileURLToPath(new URL('../../docker', import.meta.url));
const additions = fileURLToPath(new URL('compose.yaml', import.meta.url));
const exec = promisify(execFile);
/** A frontend's certificate names. */
const host = 'localhost';

/** One container of a stack. */
export interface Container {
  id: string;
  /** Also its name on the stack's network. */
  name: string;
  service: string;
  /** What it writes to stdout: one JSON object a line. */
  log: ProcessLog;
  /** Whether it has ended since it was seen; then its log and its addresses are of the past. */
  ended(): boolean;
  /** `127.0.0.1:port` where a port of the container is published. */
  address(port: number): string;
}

export interface StackOptions {
  hellos?: number;
  drainDelay?: string;
  /** Logins per second and client; otherwise what nginx.conf says. */
  loginRate?: number;
}

/** docker/compose.yaml under a name of its own, with a sidecar in front of the monolith. */
export class Stack {
  readonly #name = `kubernetes-101-test-${randomUUID().slice(0, 8)}`;
  readonly #options: StackOptions;
  #containers: Container[] = [];
  #directory = '';
  #ca = '';
  #signingKey: SigningKey | undefined;

  constructor(options: StackOptions = {}) {
    this.#options = options;
  }

  /** The monolith alone, the monolith behind its sidecar, and the split form. */
  get targets(): Target[] {
    const health = (...services: string[]) =>
      services
        .flatMap((service) => this.all(service))
        .map((container) => ({ name: container.service, url: `http://${container.address(8081)}` }));
    const logs = (...services: string[]) =>
      services.flatMap((service) => this.all(service)).map((container) => container.log);
    const shared = { signingKey: () => this.signingKey };
    return [
      {
        ...shared,
        name: "the monolith's container",
        front: 'node',
        app: () => ({ url: `http://${this.one('monolith').address(8080)}` }),
        health: () => health('monolith'),
        logs: () => logs('monolith'),
      },
      {
        ...shared,
        name: 'the monolith behind its sidecar',
        front: 'nginx',
        app: () => ({ url: this.urlOf('monolith'), ca: this.#ca }),
        health: () => health('monolith'),
        logs: () => logs('monolith', 'proxy'),
      },
      {
        ...shared,
        name: 'two hellos and auth behind nginx',
        front: 'nginx',
        app: () => ({ url: this.urlOf('frontend'), ca: this.#ca }),
        health: () => health('hello', 'auth'),
        logs: () => logs('hello', 'auth', 'frontend'),
      },
    ];
  }

  /** The CA's certificate, PEM. */
  get ca(): string {
    return this.#ca;
  }

  get signingKey(): SigningKey {
    return this.#signingKey as SigningKey;
  }

  /** nginx's, with TLS. */
  urlOf(service: 'frontend' | 'monolith'): string {
    return `https://${this.one(service).address(8443).replace('127.0.0.1', host)}`;
  }

  /** The containers of a service that ran at the last look, in the order of their numbers. */
  all(service: string): Container[] {
    return this.#containers.filter((container) => container.service === service);
  }

  one(service: string): Container {
    const [container] = this.all(service);
    if (container === undefined) throw new Error(`no container of ${service}`);
    return container;
  }

  async start(): Promise<void> {
    this.#directory = await mkdtemp(join(tmpdir(), 'kubernetes-101-'));
    const { hellos = 1, drainDelay = '0s', loginRate } = this.#options;
    await cp(join(docker, 'nginx'), join(this.#directory, 'nginx'), { recursive: true });
    const environment = `STACK_NGINX=${join(this.#directory, 'nginx')}\nSTACK_DRAIN_DELAY=${drainDelay}\n`;
    await writeFile(join(this.#directory, 'environment'), environment);
    if (loginRate !== undefined) await this.configure('shared/nginx.conf', 'rate=5r/s', `rate=${loginRate}r/s`);
    process.once('exit', this.#removeAtOnce).once('SIGTERM', this.#removeAndEnd);
    await this.compose('up', '--detach', '--no-build', '--wait', '--scale', `hello=${hellos}`);
    await this.refresh();
    this.#ca = await this.execute('frontend', 'cat', '/etc/tls/ca.crt');
    const read = (name: string) =>
      this.execute('auth', '/nodejs/bin/node', '-p', `fs.readFileSync("/etc/jwt-keys/${name}", "utf8").trim()`);
    const kid = (await read('signer')).trim();
    this.#signingKey = { kid, secret: (await read(kid)).trim() };
  }

  /** Stops everything as a person does. @throws when a container does not exit with 0 */
  async stop(): Promise<void> {
    try {
      await this.compose('stop');
      const format = '{{.Service}} {{.ExitCode}}';
      const exits = (await this.compose('ps', '--all', '--format', format)).trim().split('\n');
      const bad = exits.filter((line) => !line.endsWith(' 0'));
      if (bad.length > 0) throw new Error(`exited with another code than 0: ${bad.join(', ')}`);
    } finally {
      await this.remove();
    }
  }

  /** Removes everything, running or not. */
  async remove(): Promise<void> {
    await this.compose('down', '--volumes', '--timeout', '0');
    process.off('exit', this.#removeAtOnce).off('SIGTERM', this.#removeAndEnd);
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** Looks which containers run by now, and follows their logs. */
  async refresh(): Promise<void> {
    const lines = (await this.compose('ps', '--format', 'json')).trim().split('\n');
    const found = lines.map((line) => JSON.parse(line)).sort((a, b) => a.Name.localeCompare(b.Name));
    const before = this.#containers;
    this.#containers = found.map(({ ID: id, Name: name, Service: service, Publishers: publishers }) => {
      const known = before.find((container) => container.id === id && !container.ended());
      if (known !== undefined) return known;
      const address = (port: number) => {
        const { PublishedPort: published } = publishers.find((one: { TargetPort: number }) => one.TargetPort === port);
        return `127.0.0.1:${published}`;
      };
      return { id, name, service, address, ...follow(id, service) };
    });
  }

  compose(...args: string[]): Promise<string> {
    return run('docker', [...this.#composeArgs, ...args]);
  }

  /** Runs a command in a running container of a service. @returns what it wrote to stdout */
  execute(service: string, ...command: string[]): Promise<string> {
    return this.compose('exec', '--no-TTY', service, ...command);
  }

  /** Changes a text that stands exactly once in a file of the stack's copy of docker/nginx. */
  async configure(file: string, from: string, to: string): Promise<void> {
    const path = join(this.#directory, 'nginx', file);
    const [before = '', after, ...more] = (await readFile(path, 'utf8')).split(from);
    if (after === undefined || more.length > 0) throw new Error(`${file} does not have exactly one ${from}`);
    await writeFile(path, before + to + after);
  }

  get #composeArgs(): string[] {
    const files = [join(docker, 'compose.yaml'), additions].flatMap((file) => ['--file', file]);
    return ['compose', '--project-name', this.#name, '--env-file', join(this.#directory, 'environment'), ...files];
  }

  // A test run that ends early leaves no container behind; vitest ends its workers with SIGTERM.
  readonly #removeAtOnce = () => {
    spawnSync('docker', [...this.#composeArgs, 'down', '--volumes', '--timeout', '0']);
  };
  readonly #removeAndEnd = () => {
    this.#removeAtOnce();
    process.kill(process.pid, 'SIGTERM');
  };
}

/** Runs a command. @returns what it wrote to stdout @throws with what it wrote to stderr */
export async function run(command: string, args: readonly string[]): Promise<string> {
  try {
    return (await exec(command, args, { maxBuffer: 2 ** 26 })).stdout;
  } catch (error) {
    const { stderr, code } = error as { stderr?: string; code?: number };
    throw new Error(`${command} ${args.join(' ')} exited with ${code}:\n${stderr}`);
  }
}

function follow(id: string, service: string): Pick<Container, 'log' | 'ended'> {
  const log = new ProcessLog(service === 'frontend' || service === 'proxy' ? 'nginx' : service);
  const child = spawn('docker', ['logs', '--follow', id], { stdio: ['ignore', 'pipe', 'ignore'] });
  child.stdout.setEncoding('utf8').on('data', (text: string) => log.add(text));
  return { log, ended: () => child.exitCode !== null };
}

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type Agent, request } from 'node:http';
import { type RequestOptions, request as requestTls } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import { parseMetrics, sumOf } from '../contract/metrics.ts';
import { run, type Service, type ServiceProcess, start } from '../drivers/processes.ts';

/**
 * Waits until a condition gives something truthy, and gives that. What it throws means: not yet.
 *
 * @param deadline milliseconds
 * @throws when the deadline passes first, with `what` was waited for and what the condition threw last
 */
export async function until<T>(what: string, condition: () => T | Promise<T>, deadline = 15_000): Promise<T> {
  const end = Date.now() + deadline;
  let cause: unknown;
  while (Date.now() < end) {
    try {
      const value = await condition();
      if (value) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await delay(10);
  }
  throw new Error(`not within ${deadline} ms: ${what}`, { cause });
}

/** Starts a service that does not outlive its test. */
export async function begin(
  name: Service,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<ServiceProcess> {
  const process = await start(name, args, env);
  onTestFinished(async () => {
    process.kill('SIGKILL');
    await process.exited;
  });
  return process;
}

/** A directory that is removed when the test ends. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'kubernetes-101-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A directory with these files. */
export async function filledDirectory(files: Record<string, string>): Promise<string> {
  const directory = await temporaryDirectory();
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  return directory;
}

/** Runs a service that must not start, and gives the one line in which it says why. */
export async function refusal(service: Service, args: readonly string[]): Promise<string> {
  const { code, signal, stderr } = await run(service, ['-http', '127.0.0.1:0', '-health', '127.0.0.1:0', ...args]);
  expect({ code, signal, stderr }).toEqual({ code: 1, signal: null, stderr: expect.stringMatching(/^[^\n]+\n$/) });
  expect(stderr).not.toMatch(/\n\s+at |file:\/\//);
  return stderr;
}

/** A port of the loopback interface from which the ports at all `offsets` are free. */
export async function freePorts(offsets: readonly number[]): Promise<number> {
  const listen = async (port: number) => {
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  return until('free ports', async () => {
    const base = 20_000 + Math.floor(Math.random() * 10_000);
    const servers = await Promise.allSettled(offsets.map((offset) => listen(base + offset)));
    for (const server of servers) if (server.status === 'fulfilled') server.value.close();
    return servers.every((server) => server.status === 'fulfilled') ? base : undefined;
  }).then(Number);
}

export interface Response {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** One request; without an agent on a connection of its own. @throws when the connection fails before the answer ends */
export function send(
  url: string,
  { body, ...options }: RequestOptions & { agent?: Agent; body?: string } = {},
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const begin = url.startsWith('https:') ? requestTls : request;
    const sent = begin(url, { agent: false, ...options }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

export const basic = (name: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
});

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** The token of a login that must succeed. */
export async function login(url: string, name = 'user', password = 'password'): Promise<string> {
  const { status, body } = await send(`${url}/login`, { headers: basic(name, password) });
  if (status !== 200) throw new Error(`the login was answered ${status}: ${body}`);
  return JSON.parse(body).token;
}

/** How /secure answers a token. */
export const secure = async ({ url }: ServiceProcess, token: string, agent?: Agent): Promise<number> =>
  (await send(`${url}/secure`, { headers: bearer(token), ...(agent && { agent }) })).status;

/** The sum of a metric's samples with these labels. */
export async function metric(healthUrl: string, name: string, labels: Record<string, string> = {}): Promise<number> {
  return sumOf(parseMetrics((await send(`${healthUrl}/metrics`)).body), name, labels);
}

export const readiness = async (healthUrl: string) => (await send(`${healthUrl}/readiness`)).status;

/** Something that nobody can have guessed, and that is easily found in a log. */
export const marker = () => `marker-${randomUUID()}`;

/** Rejects when a promise takes longer than it may: `deadline` milliseconds. */
export async function within<T>(what: string, promise: Promise<T>, deadline = 15_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadline} ms: ${what}`)), deadline);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Its exit, which has to be as if nothing had happened. */
export async function endsWell(process: ServiceProcess, deadline?: number): Promise<void> {
  const { code, signal, stderr } = await within(`${process.name} ends`, process.exited, deadline);
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
}

/** Requests that were answered after the drain had begun. */
export function servedWhileDraining({ log }: Pick<ServiceProcess, 'log'>): number {
  const entries = log.entries();
  const from = entries.findIndex(({ msg }) => msg === 'draining');
  return entries.slice(from).filter(({ msg, status }) => msg === 'request' && status === 200).length;
}

/** How often files were read again. */
export const reloads = ({ healthUrl }: ServiceProcess, what: string, result: string) =>
  metric(healthUrl, 'reloads_total', { what, result });

/** Waits until files have been read again `count` times since the process began. */
export async function reloaded(process: ServiceProcess, what: string, result: string, count: number): Promise<void> {
  await until(`${count} ${what} reloads are ${result}`, async () => (await reloads(process, what, result)) === count);
}

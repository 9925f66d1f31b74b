import { once } from 'node:events';
import { Agent } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { sign, validClaims, validHeader } from './contract/tokens.ts';
import { type Materials, makeMaterials } from './drivers/materials.ts';
import type { ServiceProcess } from './drivers/processes.ts';
import { bearer, begin, endsWell, readiness, send, servedWhileDraining, until } from './helpers/operations.ts';

let materials: Materials;
beforeAll(async () => {
  materials = await makeMaterials();
  return () => materials.remove();
});

/** How long senders do not know that a process is about to end: nodes learn of it later than the process does. */
const lag = 1500;
const clients = 40;

/** What kube-proxy is to a Service: each new connection goes to the next of the processes that it knows of. */
async function front(backends: readonly ServiceProcess[]): Promise<string> {
  let turn = 0;
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (client) => {
    turn += 1;
    const { hostname, port } = new URL((backends[turn % backends.length] as ServiceProcess).url);
    const upstream = connect({ host: hostname, port: Number(port), noDelay: true });
    for (const [from, to] of [[client, upstream] as const, [upstream, client] as const]) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => sockets.delete(from));
      from.pipe(to);
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Sends requests on kept connections until `stopped`; gives how many there were, and what failed. */
async function load(url: string, stopped: () => boolean): Promise<{ sent: number; failures: string[] }> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  onTestFinished(() => agent.destroy());
  const headers = bearer(sign(materials.signingKey.secret, validHeader(materials.signingKey), validClaims()));
  const kinds = ['/', '/secure'].flatMap((path) => [
    { path, method: 'GET', headers },
    { path, method: 'POST', headers, body: 'message=hello' },
  ]);
  const failures: string[] = [];
  let sent = 0;
  const client = async () => {
    while (!stopped()) {
      const { path, ...options } = kinds[sent % kinds.length] as (typeof kinds)[number];
      sent += 1;
      const failed = (why: unknown) => failures.push(`${options.method} ${path}: ${why}`);
      await send(`${url}${path}`, { ...options, agent }).then(({ status, body }) => {
        if (status !== 200 || body !== '{"message":"Hello"}\n') failed(`${status} ${body}`);
      }, failed);
      // So that connections are idle now and then, as those of people are.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { sent, failures };
}

async function replace(times: number, drainDelay: string) {
  const args = ['-keys', materials.keys, '-drain-delay', drainDelay];
  const backends = await Promise.all([begin('hello', args), begin('hello', args)]);
  let done = false;
  const results = load(await front(backends), () => done);
  const served: number[] = [];
  try {
    for (let count = 0; count < times; count += 1) {
      const fresh = await begin('hello', args);
      await until('the new process is ready', async () => (await readiness(fresh.healthUrl)) === 200);
      const old = backends[0] as ServiceProcess;
      backends.push(fresh);
      old.kill('SIGTERM');
      setTimeout(() => backends.splice(backends.indexOf(old), 1), lag);
      await endsWell(old);
      await until('nobody sends to the old process', () => !backends.includes(old));
      served.push(servedWhileDraining(old));
    }
  } finally {
    done = true;
  }
  return { ...(await results), served };
}

test('with a drain delay above the lag no request fails', async () => {
  const { sent, failures, served } = await replace(4, '2s');
  expect(failures).toEqual([]);
  // The test means nothing unless the old processes were still sent to.
  expect(Math.min(...served)).toBeGreaterThan(0);
  expect(sent).toBeGreaterThan(clients * served.length);
}, 60_000);

test('without a drain delay requests fail, so the test above can fail', async () => {
  const { failures } = await replace(2, '0');
  expect(failures.length).toBeGreaterThan(0);
}, 60_000);

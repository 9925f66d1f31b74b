import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { type Materials, makeMaterials } from './drivers/materials.ts';
import type { ServiceProcess } from './drivers/processes.ts';
import { Load } from './helpers/load.ts';
import { begin, endsWell, readiness, servedWhileDraining, until } from './helpers/operations.ts';

let materials: Materials;
beforeAll(async () => {
  materials = await makeMaterials();
  return () => materials.remove();
});

/** How long senders do not know that a process is about to end: nodes learn of it later than the process does. */
const lag = 1500;

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

async function replace(times: number, drainDelay: string) {
  const args = ['-keys', materials.keys, '-drain-delay', drainDelay];
  const backends = await Promise.all([begin('hello', args), begin('hello', args)]);
  const load = new Load(await front(backends), materials.signingKey);
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
    await load.end();
  }
  return { sent: load.sent, failures: load.failures, served };
}

test('with a drain delay above the lag no request fails', async () => {
  const { sent, failures, served } = await replace(4, '2s');
  expect(failures).toEqual([]);
  // The test means nothing unless the old processes were still sent to.
  expect(Math.min(...served)).toBeGreaterThan(0);
  expect(sent).toBeGreaterThan(Load.clients * served.length);
}, 60_000);

test('without a drain delay requests fail, so the test above can fail', async () => {
  const { failures } = await replace(2, '0');
  expect(failures.length).toBeGreaterThan(0);
}, 60_000);

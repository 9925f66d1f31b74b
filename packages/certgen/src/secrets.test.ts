import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { text } from 'node:stream/consumers';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { fill } from './fill.ts';
import { inClusterApi, Secrets } from './secrets.ts';

// What a real API server does with this is tested in a cluster; here it fails when a test wants it to.
const names = ['tls-ca', 'tls-certs', 'jwt-keys'];
let secrets: Map<string, { metadata: { resourceVersion: string }; data?: Record<string, string> }>;
let patches: string[];
/** Called before each request is answered; a status is the answer, 0 a connection that breaks. */
let interfere: (request: IncomingMessage) => number | undefined;
let url: string;

beforeEach(async () => {
  secrets = new Map(names.map((name) => [name, { metadata: { resourceVersion: '1' } }]));
  patches = [];
  interfere = () => undefined;
  const server = createServer(async (request, response) => {
    const status = interfere(request);
    if (status === 0) return void request.socket.destroy();
    const name = /\/secrets\/([\w-]+)\?fieldManager=certgen$/.exec(request.url ?? '')?.[1] ?? '';
    const secret = secrets.get(name);
    if (status !== undefined || secret === undefined) return void response.writeHead(status ?? 404).end('{}');
    expect(request.headers.authorization).toBe('Bearer a token');
    if (request.method === 'PATCH') {
      expect(request.headers['content-type']).toBe('application/merge-patch+json');
      const { metadata, data } = JSON.parse(await text(request));
      const { resourceVersion } = secret.metadata;
      if (metadata.resourceVersion !== resourceVersion) return void response.writeHead(409).end('{}');
      patches.push(name);
      secret.metadata.resourceVersion = String(Number(resourceVersion) + 1);
      secret.data = { ...secret.data, ...data };
    }
    response.end(JSON.stringify(secret));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/namespaces/a`;
});

const run = async () => {
  const entries = await fill(new Secrets({ url, token: 'a token' }), new Date());
  return entries.filter(({ why }) => why !== undefined).map(({ path }) => path);
};
const read = (secret: string, key: string) => Buffer.from(secrets.get(secret)?.data?.[key] ?? '', 'base64').toString();

function expectWhole() {
  const ca = new X509Certificate(read('tls-certs', 'ca.crt'));
  const server = new X509Certificate(read('tls-certs', 'tls.crt'));
  expect(ca.checkPrivateKey(createPrivateKey(read('tls-ca', 'ca.key')))).toBe(true);
  expect(server.checkPrivateKey(createPrivateKey(read('tls-certs', 'tls.key')))).toBe(true);
  expect(server.verify(ca.publicKey)).toBe(true);
  expect(Buffer.byteLength(read('jwt-keys', read('jwt-keys', 'signer')))).toBeGreaterThanOrEqual(32);
  // The CA's key is where no pod mounts it, and nowhere else.
  expect(names.map((name) => Object.keys(secrets.get(name)?.data ?? {}).sort())).toEqual([
    ['ca.key'],
    ['ca.crt', 'tls.crt', 'tls.key'],
    ['key-1', 'signer'],
  ]);
}

test('empty Secrets are filled, each with one patch', async () => {
  expect(await run()).toHaveLength(6);
  expectWhole();
  expect(patches).toEqual(names);
});

test('a second run writes nothing', async () => {
  await run();
  expect(await run()).toEqual([]);
  expect(patches).toHaveLength(names.length);
});

test('what was emptied is made again, and nothing else', async () => {
  await run();
  const key = read('tls-certs', 'tls.key');
  const { data = {} } = secrets.get('tls-certs') ?? {};
  data['tls.crt'] = '';
  expect(await run()).toEqual(['tls/tls.crt']);
  expectWhole();
  expect(read('tls-certs', 'tls.key')).toBe(key);
});

test('several at once make one set', async () => {
  const made = await Promise.all([run(), run(), run(), run()]);
  expect(made.flat().sort()).toEqual([...new Set(made.flat())].sort());
  expectWhole();
  expect(patches.toSorted()).toEqual(names.toSorted());
});

test.for([1, 2, 3])('one that ended before patch %i is finished by the next', async (last) => {
  let count = 0;
  interfere = ({ method }) => {
    if (method === 'PATCH') count += 1;
    return method === 'PATCH' && count >= last ? 400 : undefined;
  };
  await expect(run()).rejects.toThrow('the API server answers 400');
  interfere = () => undefined;
  await run();
  expectWhole();
});

test('connections that break and servers that are busy are tried again', async () => {
  const faults = [0, 503, 429, 500];
  interfere = () => faults.shift();
  expect(await run()).toHaveLength(6);
  expectWhole();
});

test.for([
  [404, 'is not there: kubectl apply -f k8s/ declares it'],
  [403, 'this service account may not GET it: the Role certgen must be bound to it'],
  [401, 'the service account token is not accepted'],
] as const)('%s is told at once', async ([status, message]) => {
  let requests = 0;
  interfere = () => {
    requests += 1;
    return status;
  };
  const error = await run().catch((reason: unknown) => reason);
  expect(error).toMatchObject({ path: 'ca', message });
  expect(new Secrets({ url, token: '' }).nameOf('ca')).toBe('Secret tls-ca');
  expect(requests).toBe(1);
});

test('outside a pod, or without a service account, it says so', async () => {
  expect(() => inClusterApi({})).toThrow('-secrets works in a pod only');
  const empty = await mkdtemp(`${tmpdir()}/certgen-`);
  onTestFinished(() => rm(empty, { recursive: true }));
  const environment = { KUBERNETES_SERVICE_HOST: '::1', KUBERNETES_SERVICE_PORT: '443' };
  expect(() => inClusterApi(environment, empty)).toThrow('the pod has no service account token mounted');
});

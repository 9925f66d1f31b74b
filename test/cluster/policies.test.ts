import type { KubernetesObject } from '@kubernetes/client-node';
import { beforeAll, expect, test } from 'vitest';
import { describeWithCluster } from '../helpers/cluster.ts';
import { until } from '../helpers/operations.ts';
import { nameOf, useNamespace } from './namespace.ts';

const seconds = 3;
const patience = { timeout: 30_000, interval: 200 };
/** How a pod tries to connect: with what its image has. */
const withCurl = (host: string, port: number) => [
  ...['curl', '--silent', '--insecure', '--output', '/dev/null', '--connect-timeout', `${seconds}`],
  `${port === 8443 || port === 443 ? 'https' : 'http'}://${host}:${port}/`,
];
const withBash = (host: string, port: number) => ['timeout', `${seconds}`, 'bash', '-c', `</dev/tcp/${host}/${port}`];
const withNode = (host: string, port: number) => [
  ...['/nodejs/bin/node', '--eval'],
  `const end = (code) => () => process.exit(code);
   require('node:net').connect(${port}, '${host}', end(0)).setTimeout(${seconds}000, end(1)).on('error', end(1));`,
];
const ways: Record<string, (host: string, port: number) => string[]> = {
  client: withCurl,
  stranger: withCurl,
  frontend: withBash,
  hello: withNode,
  auth: withNode,
  monolith: withNode,
};

const listen = "import { createServer } from 'node:http'; createServer((_, response) => response.end()).listen(8080);";

describeWithCluster('network policies', () => {
  const namespace = useNamespace();
  const addresses: Record<string, string> = {};
  const names: Record<string, string> = {};
  let enforced: boolean;

  /** Whether a connection comes about: to a pod of this test, or to a name. */
  async function connects(from: string, to: string, port: number): Promise<boolean> {
    const way = ways[from] as (typeof ways)[string];
    const container = from === 'frontend' ? 'nginx' : from;
    const command = way(addresses[to] ?? to, port);
    return namespace
      .kubectl('exec', names[from] ?? from, ...(from in names ? ['--container', container] : []), '--', ...command)
      .then(() => true)
      .catch((error: Error) => {
        // What the command says when there is no connection: curl 7 or 28, timeout 124, the others 1.
        if (/command terminated with exit code (1|7|28|124)$/m.test(error.message)) return false;
        throw error;
      });
  }

  beforeAll(async () => {
    await namespace.apply();
    await namespace.client();
    // A learner's own pods.
    await namespace.pod('stranger', { app: 'stranger' });
    for (const name of ['neighbour', 'walled']) addresses[name] = await namespace.pod(name, { app: name }, listen);
    await namespace.add({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'walled' },
      spec: { podSelector: { matchLabels: { app: 'walled' } }, policyTypes: ['Ingress'] },
    } as KubernetesObject);
    await namespace.ready();
    for (const app of ['frontend', 'hello', 'auth', 'monolith']) {
      const [pod] = await namespace.pods(`app=${app}`);
      names[app] = nameOf(pod ?? {});
      addresses[app] = pod?.status?.podIP ?? '';
    }
    // Not one of ours: what is wrong with ours is not to be taken for a network that enforces none.
    const stands = async () => !(await connects('stranger', 'walled', 8080));
    enforced = await until('the wall stands', stands, patience.timeout).then(
      () => true,
      () => false,
    );
  }, 300_000);

  test.concurrent.for([
    ['client', 'hello', 8080],
    ['client', 'auth', 8080],
    ['client', 'frontend', 8443],
    ['client', 'monolith', 8443],
    ['stranger', 'frontend', 8443],
    ['stranger', 'monolith', 8443],
    ['frontend', 'hello', 8080],
    ['frontend', 'auth', 8080],
    // The set cuts nobody off who is no part of it.
    ['stranger', 'neighbour', 8080],
    ['client', 'neighbour', 8080],
    ['stranger', 'kubernetes.default', 443],
  ] as const)('%s reaches %s on %i', async ([from, to, port], { expect }) => {
    await expect.poll(() => connects(from, to, port), patience).toBe(true);
  });

  // That each of these listens there, the tests above or the probes have shown.
  test.concurrent.for([
    ['stranger', 'hello', 8080],
    ['stranger', 'auth', 8080],
    ['stranger', 'hello', 8081],
    ['client', 'hello', 8081],
    ['client', 'auth', 8081],
    ['client', 'monolith', 8081],
    ['frontend', 'hello', 8081],
    ['frontend', 'monolith', 8443],
    ['frontend', 'neighbour', 8080],
    ['hello', 'auth', 8080],
    ['auth', 'hello', 8080],
    ['hello', 'frontend', 8443],
    ['hello', 'neighbour', 8080],
    ['monolith', 'hello', 8080],
    ['monolith', 'neighbour', 8080],
    ['hello', 'kubernetes.default', 443],
    ['monolith', 'kubernetes.default', 443],
  ] as const)('%s does not reach %s on %i', async ([from, to, port], { skip, expect }) => {
    skip(!enforced, "this cluster's network enforces no NetworkPolicy");
    await expect.poll(() => connects(from, to, port), patience).toBe(false);
  });

  // nginx would not even have started.
  test.each(['hello', 'auth', 'monolith'])('%s can look up names', async (app) => {
    const lookUp = "require('node:dns').lookup('frontend', (error) => process.exit(error ? 1 : 0))";
    await namespace.kubectl('exec', names[app] ?? '', '--container', app, '--', '/nodejs/bin/node', '--eval', lookUp);
  });

  test('curl in the client reaches all by the names of their Services, and trusts the CA', async () => {
    const { 'ca.crt': ca = '' } = await namespace.secret('tls-certs');
    await namespace.exec('client', 'sh', '-c', `echo '${ca}' >/tmp/ca.crt`);
    for (const url of ['http://hello/', 'https://frontend/', 'https://monolith/'])
      expect(await namespace.exec('client', 'curl', '--silent', '--cacert', '/tmp/ca.crt', url), url).toBe(
        '{"message":"Hello"}\n',
      );
  });
});

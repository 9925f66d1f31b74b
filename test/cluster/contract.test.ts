import { spawnSync } from 'node:child_process';
import type { KubeConfig } from '@kubernetes/client-node';
import { beforeAll, test } from 'vitest';
import { contract } from '../contract/contract.ts';
import type { HealthEndpoint, ReadableLog, SigningKey } from '../contract/target.ts';
import { describeWithCluster } from '../helpers/cluster.ts';
import { nameOf, useNamespace } from './namespace.ts';

/** nginx also says there, in words, when it starts. */
const notice = /^\d{4}\/\d\d\/\d\d [\d:]{8} \[notice\] /;
const services = { frontend: 31443, monolith: 31000 };
const split = ['frontend', 'hello', 'auth'];

describeWithCluster('the contract', () => {
  const namespace = useNamespace();
  let ca: string;
  let signingKey: SigningKey;
  const health: Record<string, HealthEndpoint[]> = {};
  const logs: Record<string, ReadableLog[]> = {};
  /** Ports of this machine, by Service. */
  const inside: Record<string, string> = {};
  const outside = Object.fromEntries(
    Object.entries(services).map(([service, nodePort]) => [service, mappedPort(namespace.config, nodePort)]),
  );

  beforeAll(async () => {
    // The contract sends hundreds of logins from one address.
    await namespace.apply({ nodePorts: true, replace: { 'rate=5r/s': 'rate=1000r/s' } });
    await namespace.ready();
    ca = (await namespace.secret('tls-certs'))['ca.crt'] ?? '';
    const keys = await namespace.secret('jwt-keys');
    const kid = keys.signer ?? '';
    signingKey = { kid, secret: keys[kid] ?? '' };
    for (const app of ['hello', 'auth', 'frontend', 'monolith']) {
      const pods = await namespace.pods(`app=${app}`);
      health[app] = [];
      logs[app] = [];
      for (const pod of pods) {
        const { initContainers = [], containers = [] } = pod.spec ?? {};
        for (const { name, ports = [] } of [...initContainers, ...containers]) {
          const log = namespace.log(nameOf(pod), name);
          logs[app].push({ name, lines: () => log.lines().filter((line) => !notice.test(line)) });
          if (ports.some((port) => port.name === 'health'))
            health[app].push({ name, url: `http://${await namespace.forward(nameOf(pod), 8081)}` });
        }
      }
    }
    for (const service of Object.keys(services))
      inside[service] = new URL(`https://${await namespace.inside(`${service}:443`)}`).port;
  }, 300_000);

  const contractOver = (where: string, ports: Record<string, string | undefined>) => {
    for (const [form, apps] of Object.entries({
      'hello and auth behind frontend': split,
      'the monolith': ['monolith'],
    }))
      contract({
        name: `${form}, from ${where} the cluster`,
        front: 'nginx',
        // The certificate names the Services too; test/cluster/set.test.ts asks for them by these names.
        app: () => ({ url: `https://localhost:${ports[apps[0] ?? '']}`, ca }),
        health: () => apps.flatMap((app) => health[app] ?? []),
        logs: () => apps.flatMap((app) => logs[app] ?? []),
        signingKey: () => signingKey,
      });
  };
  contractOver('inside', inside);
  if (Object.values(outside).every((port) => port !== undefined)) contractOver('outside', outside);
  else test('from outside the cluster', ({ skip }) => skip('the current context is no kind cluster of `make cluster`'));
});

/** The port of this machine that leads to a node port of a kind cluster. */
function mappedPort(config: KubeConfig, nodePort: number): string | undefined {
  const node = `${config.getCurrentContext().replace(/^kind-/, '')}-control-plane`;
  const { stdout } = spawnSync('docker', ['port', node, `${nodePort}/tcp`], { encoding: 'utf8' });
  return /:(\d+)$/m.exec(stdout ?? '')?.[1];
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithCluster } from '../helpers/cluster.ts';
import { freePorts } from '../helpers/operations.ts';
import { useNamespace } from './namespace.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

describeWithCluster('make', () => {
  const namespace = useNamespace();
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kubernetes-101-'));
    await namespace.writeKubeconfig(join(directory, 'kubeconfig'));
  });
  afterAll(() => rm(directory, { recursive: true }));

  /** Runs a script in this namespace, with variables set before. */
  async function bash(script: string, variables: Record<string, string> = {}) {
    const set = Object.entries({ KUBECONFIG: join(directory, 'kubeconfig'), ...variables });
    const exports = set.map(([name, value]) => `export ${name}=${value}\n`).join('');
    // The machine's own make and kubectl; those of the tests' caller are no concern of the targets.
    const child = spawn('bash', ['-uc', `unset MAKEFLAGS MAKELEVEL; ${exports}${script}`], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    return { code, stdout, stderr };
  }
  const versions = async () => {
    const pods = await namespace.pods('app=hello');
    return [...new Set(pods.map(({ spec }) => spec?.containers[0]?.image))];
  };

  test('deploy waits until all is Ready, and what it prints can be pasted', { timeout: 300_000 }, async () => {
    const { code, stdout, stderr } = await bash('make deploy');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const pasted = stdout.slice(stdout.indexOf('To paste')).split('\n').slice(1).join('\n');
    const { stdout: answers } = await bash(pasted.replaceAll('curl ', 'curl --silent --show-error '));
    expect(answers).toMatch(
      /^\{"message":"Hello"\}\n\{"version":"1.0.0"\}\n\{"token":"[^"]+"\}\n\{"message":"Hello"\}\n\{"message":"Hello"\}\n\{"version":"1.0.0"\}\n$/,
    );
  });

  test('deploy of an image that is nowhere says so, in a line; the next deploy mends it', {
    timeout: 400_000,
  }, async () => {
    const registry = `localhost:${await freePorts([0])}`;
    const { code, stderr } = await bash(`make deploy REGISTRY=${registry}`);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(
      RegExp(
        `^No node has, nor can fetch, .*${registry}/[a-z]+:1.0.0.*: type 'make push REGISTRY=${registry}', then this again\n`,
      ),
    );
    expect(await bash('make deploy VERSION=2.0.0')).toMatchObject({ code: 0, stderr: '' });
    await expect.poll(versions, { timeout: 60_000 }).toEqual(['hello:2.0.0']);
    const [monolith] = await namespace.pods('app=monolith');
    expect(monolith?.status?.containerStatuses).toMatchObject([
      { ready: true, image: expect.stringMatching(/monolith:2\.0\.0$/) },
    ]);
  });

  test('undeploy leaves nothing, and may be repeated', { timeout: 200_000 }, async () => {
    for (const _ of [1, 2]) {
      const { code, stdout, stderr } = await bash('make undeploy');
      expect({ code, stderr, said: stdout.trim().split('\n').at(-1) }).toEqual({
        code: 0,
        stderr: '',
        said: 'Nothing of k8s/*.yaml is left',
      });
      expect(await namespace.kubectl('get', 'all,secrets,jobs,networkpolicies,roles', '--output=name')).toBe('');
    }
  });

  test.each([
    ['cluster', 'kind', 'kind is missing: install it'],
    ['cluster', 'kubectl', 'kubectl is missing: install it'],
    ['deploy', 'kubectl', 'kubectl is missing: install it'],
  ])('%s without %s says what to install', async (target, missing, line) => {
    const bin = join(directory, `without-${missing}-${target}`);
    const links = `mkdir ${bin}; for name in bash sed tail grep wc cat dirname env kind kubectl docker; do
      [ $name = ${missing} ] || ln -s "$(command -v $name)" ${bin}/; done`;
    const { code, stderr } = await bash(`${links}; PATH=${bin} k8s/cluster/cluster.sh ${target}`);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(`^${line}[^\n]*\n$`) });
  });

  test('without a cluster it says so', async () => {
    for (const target of ['deploy', 'undeploy', 'test-cluster']) {
      const { code, stderr } = await bash(`make ${target}`, { KUBECONFIG: '/dev/null' });
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/^No cluster answers: 'make cluster' makes one, [^\n]*\nmake: /);
    }
    const { code, stderr } = await bash('k8s/cluster/cluster.sh load hello:1.0.0', { CLUSTER: 'nowhere' });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^There is no kind cluster nowhere: type 'make cluster'[^\n]*\n$/),
    });
  });

  test('cluster where a port is taken says so; cluster-down of none too', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = String((server.address() as AddressInfo).port);
    const variables = { CLUSTER: 'nowhere', FRONTEND_PORT: port, MONOLITH_PORT: port };
    const { code, stderr } = await bash('k8s/cluster/cluster.sh cluster', variables);
    server.close();
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(`^Port ${port} is taken: [^\n]*\n$`) });
    expect(await bash('k8s/cluster/cluster.sh cluster-down', variables)).toMatchObject({
      code: 0,
      stdout: 'There is no cluster nowhere\n',
    });
  });
});

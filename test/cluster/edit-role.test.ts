import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Materials, makeMaterials } from '../drivers/materials.ts';
import { describeWithCluster } from '../helpers/cluster.ts';
import { send } from '../helpers/operations.ts';
import { commandsOf } from './documented.ts';
import { useNamespace } from './namespace.ts';

describeWithCluster('who has the role edit in a namespace', () => {
  const namespace = useNamespace();
  let materials: Materials;
  let kubeconfig: string;

  beforeAll(async () => {
    await namespace.kubectl('create', 'serviceaccount', 'learner');
    const learner = `--serviceaccount=${namespace.name}:learner`;
    await namespace.kubectl('create', 'rolebinding', 'learner', '--clusterrole=edit', learner);
    const token = (await namespace.kubectl('create', 'token', 'learner')).trim();
    // As `make certs` makes them.
    materials = await makeMaterials();
    kubeconfig = join(materials.directory, 'kubeconfig');
    await namespace.writeKubeconfig(kubeconfig, token);
  });
  afterAll(() => materials.remove());

  test('may apply all of the set but the Role and the RoleBinding of certgen', { timeout: 60_000 }, async () => {
    const applied = namespace.apply({}, `--kubeconfig=${kubeconfig}`);
    const message = await applied.then(
      () => '',
      (error: Error) => error.message,
    );
    const refused = [...message.matchAll(/^from server for: .* is forbidden: .* resource "([a-z]+)"/gm)];
    expect(refused.map(([, resource]) => resource)).toEqual(['roles', 'rolebindings']);
    expect(message.match(/error/gi)).toHaveLength(4);
    await expect(namespace.apply({}, '--dry-run=server')).resolves.toContain(
      'networkpolicy.networking.k8s.io/deny-all unchanged (server dry run)',
    );
  });

  test('brings it up by what k8s/README.md says', { timeout: 300_000 }, async () => {
    const [commands = ''] = await commandsOf('Without the right to make Roles');
    expect(commands).toContain('kubectl patch');
    const script = `set -euo pipefail; export KUBECONFIG=${kubeconfig}\n${commands}`;
    await promisify(execFile)('bash', ['-c', script], { cwd: materials.directory });
    await namespace.ready();
    const { port } = new URL(`https://${await namespace.inside('frontend:443')}`);
    expect(await send(`https://localhost:${port}/`, { ca: materials.ca })).toMatchObject({ status: 200 });
    // Should somebody with more rights apply it later, certgen finds nothing to do.
    const keys = async () => Promise.all(['tls-certs', 'tls-ca', 'jwt-keys'].map((name) => namespace.secret(name)));
    const before = await keys();
    await namespace.apply();
    await namespace.kubectl('wait', '--for=condition=Complete', 'job/certgen', '--timeout=60s');
    expect(await keys()).toEqual(before);
  });
});

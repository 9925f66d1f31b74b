import { expect, test } from 'vitest';
import { describeWithCluster } from '../helpers/cluster.ts';
import { k8s, nameOf, partOf, restarts, useNamespace } from './namespace.ts';

const secrets = ['jwt-keys', 'tls-ca', 'tls-certs'];
/** What the cluster itself puts into every namespace, and what happened there. */
const ofTheCluster = /^(configmap\/kube-root-ca\.crt|serviceaccount\/default|event(\.events\.k8s\.io)?\/.*)$/;

const strict = ['--dry-run=server', '--validate=strict', '--warnings-as-errors'];

describeWithCluster('the set', () => {
  const namespace = useNamespace();
  const dataOfSecrets = () => Promise.all(secrets.map((name) => namespace.secret(name)));
  const podsByUid = async () =>
    Object.fromEntries((await namespace.pods(partOf)).map((pod) => [`${pod.metadata?.uid}`, restarts(pod)]));

  test.each(['pods', 'services', 'deployments'])(
    'the API server has no warning about the files in k8s/%s, and knows every field',
    async (folder) => {
      await namespace.apply({ folder }, ...strict);
    },
  );

  test('one kubectl apply leads from nothing to all Ready', { timeout: 300_000 }, async () => {
    const said = await namespace.apply();
    expect(said.filter((line) => !line.endsWith(' created'))).toEqual([]);
    await namespace.ready(120);
    const pods = (await namespace.pods(partOf)).map(({ metadata }) => metadata?.labels?.app);
    expect(pods.sort()).toEqual(['auth', 'auth', 'frontend', 'frontend', 'hello', 'hello', 'monolith']);
  });

  test('the API server has no warning about the files of the set, and knows every field', async () => {
    await namespace.apply({}, ...strict);
  });

  test('nothing was restarted on the way', async () => {
    expect(new Set(Object.values(await podsByUid()).flatMap((pod) => Object.values(pod)))).toEqual(new Set([0]));
  });

  test('no pod has a token for the API server', async () => {
    for (const pod of await namespace.pods(partOf)) {
      const sources = pod.spec?.volumes?.flatMap(({ projected }) => projected?.sources ?? []) ?? [];
      expect(
        sources.filter(({ serviceAccountToken }) => serviceAccountToken !== undefined),
        nameOf(pod),
      ).toEqual([]);
    }
  });

  test('applied again, it restarts nothing and keeps keys and certificates', { timeout: 120_000 }, async () => {
    const before = [await dataOfSecrets(), await podsByUid()];
    // A finished Job makes room, so that this one runs again.
    await namespace.kubectl('wait', '--for=delete', 'job/certgen', '--timeout=60s');
    const said = await namespace.apply();
    // kubectl says of a PodDisruptionBudget always that it configured it: its selector is replaced, not merged.
    const changes = said.filter((line) => !line.endsWith(' unchanged') && !line.startsWith('poddisruptionbudget'));
    expect(changes).toEqual(['job.batch/certgen created']);
    await namespace.kubectl('wait', '--for=condition=Complete', 'job/certgen', '--timeout=60s');
    await namespace.ready();
    expect([await dataOfSecrets(), await podsByUid()]).toEqual(before);
    expect(before[0]).toEqual([
      { 'key-1': expect.any(String), signer: 'key-1' },
      { 'ca.key': expect.any(String) },
      { 'ca.crt': expect.any(String), 'tls.crt': expect.any(String), 'tls.key': expect.any(String) },
    ]);
  });

  test('applied as 2.0.0, it becomes 2.0.0 and keeps keys and certificates', { timeout: 300_000 }, async () => {
    const before = await dataOfSecrets();
    const [monolith] = await namespace.pods('app=monolith');
    await namespace.kubectl('wait', '--for=delete', 'job/certgen', '--timeout=60s');
    await namespace.apply({ version: '2.0.0' });
    await namespace.ready();
    const versions = async () =>
      (await namespace.pods(partOf)).flatMap(({ spec }) =>
        spec?.containers.flatMap(({ image = '' }) => /^(?:hello|auth|monolith):(.*)/.exec(image)?.[1] ?? []),
      );
    await expect.poll(versions, { timeout: 120_000, interval: 500 }).toEqual(Array(5).fill('2.0.0'));
    // A Deployment makes new pods. A bare Pod stays what it is: one container in it is started again.
    const restarted = async () =>
      (await namespace.pods('app=monolith')).map((pod) => [pod.metadata?.uid, restarts(pod)]);
    await expect
      .poll(restarted, { timeout: 120_000, interval: 500 })
      .toEqual([[monolith?.metadata?.uid, { nginx: 0, monolith: 1 }]]);
    await namespace.ready();
    for (const service of ['hello:80', 'auth:80']) {
      const answer = await fetch(`http://${await namespace.inside(service)}/version`);
      expect(await answer.json(), service).toEqual({ version: '2.0.0' });
    }
    expect(await dataOfSecrets()).toEqual(before);
    for (const pod of await namespace.pods('app=frontend')) expect(restarts(pod)).toEqual({ nginx: 0 });
  });

  test('kubectl delete leaves nothing behind', { timeout: 180_000 }, async () => {
    await namespace.kubectl('delete', 'pod/relay', '--now');
    await namespace.kubectl('delete', '-f', k8s, '--ignore-not-found');
    const types = await namespace.kubectl('api-resources', '--verbs=list', '--namespaced', '--output=name');
    const left = async () =>
      (await namespace.kubectl('get', types.trim().replaceAll('\n', ','), '--output=name', '--ignore-not-found'))
        .split('\n')
        .filter((name) => name !== '' && !ofTheCluster.test(name));
    // What belonged to the deleted objects goes a little later.
    await expect.poll(left, { timeout: 60_000, interval: 500 }).toEqual([]);
  });
});

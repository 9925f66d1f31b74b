import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithCluster } from '../helpers/cluster.ts';
import { ClusterLoad } from './load.ts';
import { nameOf, partOf, restarts, useNamespace } from './namespace.ts';

describeWithCluster('no request is lost', () => {
  const namespace = useNamespace();
  let load: ClusterLoad;
  let counted = 0;
  beforeAll(async () => {
    await namespace.apply();
    await namespace.ready();
    load = await ClusterLoad.start(namespace, { 'https://frontend': 12, 'http://hello': 8 });
  }, 300_000);
  afterAll(() => process.stdout.write(`Answered in rolling updates, scaling, deletion and drain: ${counted}\n`));

  const rolledOut = () => namespace.kubectl('rollout', 'status', 'deployment', '--selector', partOf, '--timeout=180s');
  const rollOut = async (deployment: string) => {
    await namespace.kubectl('rollout', 'restart', `deployment/${deployment}`);
    await rolledOut();
  };
  /** Waits until nobody who ends is still there. */
  const allEnded = () =>
    expect.poll(() => namespace.endingPods(partOf), { timeout: 90_000, interval: 500 }).toEqual([]);
  /** Does something, and expects that every request is answered until all who had to end because of that have ended. */
  async function losesNone(action: () => Promise<unknown>): Promise<void> {
    const { answered, failures } = await load.during(async () => {
      await action();
      await allEnded();
    });
    expect(failures).toEqual([]);
    expect(answered).toBeGreaterThan(0);
    counted += answered;
  }

  test.each([
    [10, 'hello'],
    [3, 'auth'],
    [3, 'frontend'],
  ])('in %i rolling updates of %s', { timeout: 600_000 }, async (times, deployment) => {
    await losesNone(async () => {
      for (let time = 0; time < times; time += 1) await rollOut(deployment);
    });
  });

  test('when hello is scaled from 4 to 1 to 4', { timeout: 300_000 }, async () => {
    await losesNone(async () => {
      for (const replicas of [4, 1, 4]) {
        await namespace.kubectl('scale', 'deployment/hello', `--replicas=${replicas}`);
        await rolledOut();
        await allEnded();
        expect(await namespace.endpoints('hello')).toHaveLength(replicas);
      }
    });
  });

  test('when a pod of each is deleted', { timeout: 300_000 }, async () => {
    await losesNone(async () => {
      for (const app of ['hello', 'auth', 'frontend']) {
        const [pod] = await namespace.pods(`app=${app}`);
        await namespace.kubectl('delete', 'pod', nameOf(pod ?? {}), '--wait=false');
      }
      await rolledOut();
    });
  });

  test('when a node is drained, but the bare Pod that ran there is gone', { timeout: 300_000 }, async () => {
    const [monolith] = await namespace.pods('app=monolith');
    const node = monolith?.spec?.nodeName ?? '';
    await losesNone(async () => {
      try {
        // Of what else there is on the node, nothing is touched.
        const options = ['--pod-selector', partOf, '--force', '--delete-emptydir-data', '--timeout=240s'];
        await namespace.kubectl('drain', node, ...options);
        await rolledOut();
      } finally {
        await namespace.kubectl('uncordon', node);
      }
    });
    const left = await namespace.pods(partOf);
    expect(left.map(({ spec }) => spec?.nodeName)).not.toContain(node);
    expect([...new Set(left.map(({ metadata }) => metadata?.labels?.app))].sort()).toEqual([
      'auth',
      'frontend',
      'hello',
    ]);
  });

  test('and nginx was never restarted', async () => {
    for (const pod of await namespace.pods('app=frontend')) expect(restarts(pod)).toEqual({ nginx: 0 });
  });

  test('without preStop and drain delay requests fail, so that the tests above can', { timeout: 600_000 }, async () => {
    const container = '/spec/template/spec/containers/0';
    const patch = [
      { op: 'test', path: `${container}/args/3`, value: '-drain-delay=8s' },
      { op: 'replace', path: `${container}/args/3`, value: '-drain-delay=0s' },
      { op: 'remove', path: `${container}/lifecycle` },
    ];
    await namespace.kubectl('patch', 'deployment/hello', '--type=json', `--patch=${JSON.stringify(patch)}`);
    const failing = new Set<string>();
    for (let time = 0; time < 10 && failing.size < 2; time += 1) {
      const { failures } = await load.during(() => rollOut('hello'));
      for (const { url } of failures) failing.add(url);
    }
    expect([...failing].sort()).toEqual(['http://hello', 'https://frontend']);
  });
});

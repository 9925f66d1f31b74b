import { beforeAll, expect, test } from 'vitest';
import { describeWithCluster } from '../helpers/cluster.ts';
import { metric, send } from '../helpers/operations.ts';
import { nameOf, restarts, useNamespace } from './namespace.ts';

// A probe fails three times before it counts; a container that is told to end has its time to drain.
const patience = { timeout: 180_000, interval: 500 };

describeWithCluster('probes', () => {
  const namespace = useNamespace();
  let pods: string[];
  let monolith: string | undefined;
  let frontend: string;

  beforeAll(async () => {
    // The kubelet asks more often than it would, so that nobody has to wait for long.
    await namespace.apply({ replace: { 'periodSeconds: 15': 'periodSeconds: 3' } });
    await namespace.ready();
    pods = (await namespace.pods('app=hello')).map(nameOf);
    monolith = (await namespace.pods('app=monolith'))[0]?.metadata?.uid;
    frontend = `https://localhost:${(await namespace.inside('frontend:443')).split(':')[1]}/`;
  }, 300_000);

  const toggle = async (pod: string, path: string) => {
    const url = `http://${await namespace.forward(pod, 8081)}${path}/status`;
    expect(await send(url, { method: 'POST' })).toMatchObject({ status: 200 });
  };
  const restartsOf = async (app: string) =>
    Object.fromEntries((await namespace.pods(`app=${app}`)).map((pod) => [nameOf(pod), restarts(pod)]));

  test('a pod that is not ready leaves its EndpointSlice, is not restarted, and comes back', {
    timeout: 400_000,
  }, async () => {
    const [first = '', second = ''] = pods;
    expect(await namespace.endpoints('hello')).toEqual([first, second]);
    const log = namespace.log(first, 'hello');
    await toggle(first, '/readiness');
    await expect.poll(() => namespace.endpoints('hello'), patience).toEqual([second]);
    const { 'ca.crt': ca = '' } = await namespace.secret('tls-certs');
    const health = `http://${await namespace.forward(first, 8081)}`;
    const served = () => metric(health, 'http_request_duration_seconds_count', { route: '/' });
    const servedOfTwenty = async () => {
      const before = await served();
      for (let count = 0; count < 20; count += 1) expect(await send(frontend, { ca })).toMatchObject({ status: 200 });
      return (await served()) - before;
    };
    // Nodes learn a little later that it is out.
    await expect.poll(servedOfTwenty, patience).toBe(0);
    // Three failures would have been enough for a restart.
    const toggled = log.entries().findIndex(({ path }) => path === '/readiness/status');
    const asked = () =>
      log
        .entries()
        .slice(toggled)
        .filter(({ path, status }) => path === '/healthz' && status === 200);
    await expect.poll(() => asked().length, patience).toBeGreaterThan(4);
    await toggle(first, '/readiness');
    await expect.poll(() => namespace.endpoints('hello'), patience).toEqual([first, second]);
    await expect.poll(servedOfTwenty, patience).toBeGreaterThan(0);
    expect(await restartsOf('hello')).toEqual({ [first]: { hello: 0 }, [second]: { hello: 0 } });
  });

  test('a container that is not healthy is started again, in the same pod, and drains before', {
    timeout: 400_000,
  }, async () => {
    const [first = '', second = ''] = pods;
    await Promise.all([toggle(first, '/healthz'), toggle('monolith', '/healthz')]);
    await expect.poll(() => restartsOf('hello'), patience).toEqual({ [first]: { hello: 1 }, [second]: { hello: 0 } });
    await expect.poll(() => restartsOf('monolith'), patience).toEqual({ monolith: { nginx: 0, monolith: 1 } });
    await namespace.ready();
    await expect.poll(() => namespace.endpoints('hello'), patience).toEqual([first, second]);
    expect((await namespace.pods('app=monolith'))[0]?.metadata?.uid).toBe(monolith);
    for (const [pod, container] of [
      [first, 'hello'],
      ['monolith', 'monolith'],
    ] as const)
      expect(await namespace.kubectl('logs', '--previous', pod, '--container', container)).toMatch(
        /"msg":"draining".*"msg":"stopped"}\n$/s,
      );
    for (const containers of Object.values(await restartsOf('frontend'))) expect(containers).toEqual({ nginx: 0 });
  });
});

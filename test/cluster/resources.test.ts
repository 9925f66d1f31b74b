import { expect, test } from 'vitest';
import { table } from '../../bench/src/table.ts';
import { describeWithCluster } from '../helpers/cluster.ts';
import { until } from '../helpers/operations.ts';
import { ClusterLoad } from './load.ts';
import { nameOf, partOf, useNamespace } from './namespace.ts';

/** What a container has used, as the kubelet of its node measures it now and then. */
interface Usage {
  at: number;
  cpuSeconds: number;
  memory: number;
}

const units: Record<string, number> = { '': 1, m: 0.001, Mi: 2 ** 20, Gi: 2 ** 30 };
const quantity = (text = ''): number => {
  const [, number, unit = ''] = /^(\d+)(\D*)$/.exec(text) ?? [];
  return Number(number) * (units[unit] ?? Number.NaN);
};
const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
const millicores = (cores: number) => (cores * 1000).toFixed(0);
/** Milliseconds over which CPU is measured. */
const interval = 20_000;

describeWithCluster('resources', () => {
  const namespace = useNamespace();

  interface Summary {
    pods: { podRef: { namespace: string; name: string }; containers?: Measured[] }[];
  }
  interface Measured {
    name: string;
    cpu: { time: string; usageCoreNanoSeconds?: number };
    memory: { workingSetBytes?: number };
  }

  /** All containers of the set that go on, with the pod of each. */
  const containers = async () =>
    (await namespace.pods(partOf)).flatMap((pod) =>
      [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].map((container) => ({
        ...container,
        pod,
        key: `${nameOf(pod)} ${container.name}`,
      })),
    );

  /** What all pods of the nodes with this namespace's set use, by pod and container. */
  async function usages(nodes: Set<string | undefined>): Promise<Map<string, Usage>> {
    const found = new Map<string, Usage>();
    for (const node of nodes) {
      const path = `/api/v1/nodes/${node}/proxy/stats/summary`;
      const summary: Summary = JSON.parse(await namespace.kubectl('get', '--raw', path));
      for (const { podRef, containers = [] } of summary.pods) {
        if (podRef.namespace !== namespace.name) continue;
        for (const { name, cpu, memory } of containers)
          found.set(`${podRef.name} ${name}`, {
            at: Date.parse(cpu.time),
            cpuSeconds: (cpu.usageCoreNanoSeconds ?? Number.NaN) / 1e9,
            memory: memory.workingSetBytes ?? Number.NaN,
          });
      }
    }
    return found;
  }

  /** All containers of the set, measured later than at a time. */
  const measured = (after: number) =>
    until(
      'the kubelets have measured all containers',
      async () => {
        const all = await containers();
        const found = await usages(new Set(all.map(({ pod }) => pod.spec?.nodeName)));
        const recent = ({ at, cpuSeconds, memory }: Usage) => at >= after && cpuSeconds + memory > 0;
        return all.every(({ key }) => recent(found.get(key) ?? { at: 0, cpuSeconds: 0, memory: 0 })) && found;
      },
      120_000,
    ) as Promise<Map<string, Usage>>;

  /** Cores and bytes of each container over an interval that begins now. */
  async function over(): Promise<Map<string, { cores: number; memory: number }>> {
    const begin = await measured(Date.now());
    const end = await measured(Math.max(...[...begin.values()].map(({ at }) => at)) + interval);
    return new Map(
      [...end].map(([key, { at, cpuSeconds, memory }]) => {
        const before = begin.get(key) ?? { at: Number.NaN, cpuSeconds: Number.NaN };
        return [key, { cores: (cpuSeconds - before.cpuSeconds) / ((at - before.at) / 1000), memory }];
      }),
    );
  }

  test('requests and limits fit what containers use', { timeout: 600_000 }, async () => {
    const times: [string, number][] = [];
    async function time(what: string, action: () => Promise<unknown>): Promise<void> {
      const begin = performance.now();
      await action();
      times.push([what, (performance.now() - begin) / 1000]);
    }
    await time('from `kubectl apply` to all Ready', async () => {
      await namespace.apply();
      await namespace.ready();
    });
    const idle = await over();
    const load = await ClusterLoad.start(namespace, { 'https://frontend': 20, 'https://monolith': 10 });
    const busy = await over();
    expect(load.failures()).toEqual([]);

    const rows: string[][] = [];
    const misfits: string[] = [];
    for (const { key, name, pod, resources } of await containers()) {
      const [atRest, atWork] = [idle, busy].map((all) => all.get(key));
      if (atRest === undefined || atWork === undefined) throw new Error(`${key} was not measured`);
      const { requests = {}, limits = {} } = resources ?? {};
      rows.push([
        `${pod.metadata?.labels?.app}: ${name}`,
        ...[mebibytes(atRest.memory), mebibytes(atWork.memory), `${requests.memory}`, `${limits.memory}`],
        ...[millicores(atRest.cores), millicores(atWork.cores), `${requests.cpu}`, `${limits.cpu}`],
      ]);
      // What it asks for is what the node keeps for it; past its memory limit it is killed.
      if (!(atRest.memory < quantity(requests.memory))) misfits.push(`${name} at rest: more memory than it asks for`);
      if (!(atWork.memory < 0.8 * quantity(limits.memory))) misfits.push(`${name} at work: near its memory limit`);
      if (!(atRest.cores < quantity(requests.cpu))) misfits.push(`${name} at rest: more CPU than it asks for`);
    }

    await namespace.kubectl('scale', 'deployment/hello', '--replicas=4');
    await namespace.ready();
    await time('a rolling update of hello, 4 replicas', async () => {
      await namespace.kubectl('rollout', 'restart', 'deployment/hello');
      await namespace.ready();
    });
    const { answered } = await load.goesOn();
    const header = ['container', 'memory, MiB, idle', 'under load', 'request', 'limit'];
    const seconds = times.map(([what, value]) => [what, value.toFixed(0)]);
    process.stdout.write(`\n${table(['', 'seconds'], seconds)}\n`);
    process.stdout.write(`${table([...header, 'CPU, millicores, idle', 'under load', 'request', 'limit'], rows)}\n`);
    process.stdout.write(`Answered under load: ${JSON.stringify(answered)}\n`);
    expect(misfits).toEqual([]);
  });
});

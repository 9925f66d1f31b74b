import { bearer } from './client.ts';
import { images, type Stack, sizeOnBase, startMonolith, startRaw } from './containers.ts';
import type { Cores } from './cores.ts';
import { type Fleet, firstAnswer, logIn, type Member, startMember } from './fleet.ts';
import type { Generator } from './load.ts';
import type { Options } from './options.ts';
import { cpuSeconds, memory } from './proc.ts';
import type { Processes } from './processes.ts';
import { sum } from './statistics.ts';
import { type Storm, storm } from './storm.ts';
import { monolith, raw, subjects } from './subjects.ts';
import { megabytes, spread, table } from './table.ts';
import { compareInTurns } from './turns.ts';

/** What every measurement works with. */
export interface Setup {
  options: Options;
  processes: Processes;
  cores: Cores;
  generator: Generator;
  fleet: Fleet;
  /** Where Docker answers. */
  stack: Stack | undefined;
  say: (progress: string) => void;
}

const paths = ['/', '/secure'];
const startRounds = 9;
const stormRounds = 3;
const stormSeconds = 5;

/** Something under load: where, and with which token; CPU time is that of all processes that take part. */
interface Target {
  name: string;
  origin: string;
  token: string;
  pids: number[];
}

const targetsOf = async ({ fleet, stack }: Setup): Promise<Target[]> => {
  const targets = [{ name: raw.name, front: raw.name, programs: [raw.name] }, ...subjects].map((subject) => ({
    name: subject.name,
    origin: fleet.find(subject.front).origin,
    token: fleet.token,
    pids: subject.programs.map((name) => fleet.find(name).server.pid),
  }));
  if (stack === undefined) return targets;
  const name = 'hello + auth behind nginx (TLS, bundles in containers)';
  return [...targets, { name, origin: stack.origin, token: await logIn(stack.origin), pids: stack.pids }];
};

const loadSlice = async ({ options, processes, cores, generator }: Setup, target: Target, path: string) => {
  const cpu = () => sum(target.pids.map(cpuSeconds));
  const header = `Authorization: ${bearer(target.token).authorization}`;
  const command = generator.command(target.origin + path, options.seconds, header);
  const before = cpu();
  const { requests, failures, requestsPerSecond, p50, p99 } = generator.parse(
    await processes.run([...cores.load, ...command]),
  );
  if (failures !== '' || requests === 0) {
    throw new Error(`${target.name}: not all requests for ${path} succeeded: ${failures || 'no answer at all'}`);
  }
  return { requestsPerSecond, requestsPerCpuSecond: requests / (cpu() - before), p50, p99 };
};

/** Throughput, CPU time and latency. */
export const measureLoad = async (setup: Setup): Promise<string> => {
  const { rounds } = setup.options;
  const rows: string[][] = [];
  const [yardstickTarget, ...targets] = (await targetsOf(setup)) as [Target, ...Target[]];
  for (const path of paths) {
    setup.say(`load on ${path}`);
    const yardstick = () => loadSlice(setup, yardstickTarget, path);
    const candidates = new Map(targets.map((target) => [target.name, () => loadSlice(setup, target, path)]));
    for (const warmUp of [yardstick, ...candidates.values()]) await warmUp();
    for (const [name, ratios] of await compareInTurns(rounds, yardstick, candidates)) {
      const column = (figure: keyof (typeof ratios)[0]) => spread(ratios.map((ratio) => ratio[figure]));
      rows.push([
        name || 'raw, to itself a turn before: the noise',
        `\`${path}\``,
        column('requestsPerCpuSecond'),
        column('requestsPerSecond'),
        column('p50'),
        column('p99'),
      ]);
    }
  }
  return table(
    ['÷ raw', 'path', 'requests per second of CPU time', 'requests per second', 'p50 latency', 'p99 latency'],
    rows,
  );
};

/** Start to first answer, compared with raw, and resident memory. To be called after the load. */
export const measureProcesses = async ({ processes, cores, fleet, say }: Setup): Promise<string> => {
  const afterLoad = new Map([...fleet.members].map(([name, { server }]) => [name, memory(server.pid)]));
  const timeStart = async (member: Member) => {
    const begin = performance.now();
    const { server } = await startMember(processes, cores.server, member);
    const firstAnswer = performance.now() - begin;
    await server.stop();
    return { firstAnswer };
  };
  say('start-up');
  const yardstick = () => timeStart(fleet.find(raw.name));
  const others = [...fleet.members].filter(([name]) => name !== raw.name);
  const candidates = new Map(others.map(([name, member]) => [name, () => timeStart(member)]));
  const starts = await compareInTurns(startRounds, yardstick, candidates);
  const rows = [...starts].map(([name, ratios]) => {
    const { resident = Number.NaN, peak = Number.NaN } = afterLoad.get(name || raw.name) ?? {};
    const { idle } = fleet.find(name || raw.name);
    const firstAnswer = spread(ratios.map((ratio) => ratio.firstAnswer));
    return [name || raw.name, firstAnswer, megabytes(idle), megabytes(resident), megabytes(peak)];
  });
  return table(['process', 'start to first answer ÷ raw', 'MB idle', 'MB after the load', 'MB at the highest'], rows);
};

/** What the images add to their base, and how long a container takes from `docker run` to its first answer. */
export const measureImages = async ({ processes, fleet, say }: Setup): Promise<string> => {
  say('images');
  const answers = JSON.stringify(await fleet.answers());
  const timeStart = async (start: typeof startMonolith) => {
    const begin = performance.now();
    const { origin, remove } = await start(processes);
    await firstAnswer(`${origin}/`);
    const milliseconds = performance.now() - begin;
    await remove();
    return { milliseconds };
  };
  const yardstick = () => timeStart(() => startRaw(processes, answers));
  const candidates = new Map([['monolith:1.0.0', () => timeStart(startMonolith)]]);
  const starts = await compareInTurns(startRounds, yardstick, candidates);
  const rows = images.map(async (image) => {
    const ratios = starts.get(image)?.map(({ milliseconds }) => milliseconds) ?? [];
    return [image, ((await sizeOnBase(processes, image)) / 1e6).toFixed(2), spread(ratios)];
  });
  return table(
    ['image', 'MB on top of its base', '`docker run` to first answer ÷ raw on that base'],
    await Promise.all(rows),
  );
};

/** Logins, as many as the machine's cores can take, and what others see of them. */
export const measureStorm = async ({ processes, cores, fleet, say }: Setup): Promise<string> => {
  say('login storm');
  const target = await startMember(processes, cores.all, fleet.find(monolith.name));
  const storms: Storm[] = [];
  for (let round = 0; round < stormRounds; round++) storms.push(await storm(processes, cores, target, stormSeconds));
  await target.server.stop();
  const column = (figure: keyof Storm, digits: number) =>
    spread(
      storms.map((one) => one[figure]),
      digits,
    );
  return table(
    [`32 logins at once, ${cores.count} cores`, 'median (quartiles)'],
    [
      ['logins per second ÷ bcryptjs alone', column('ofCeiling', 2)],
      ['logins per second', column('loginsPerSecond', 1)],
      ['refused with 503', column('refused', 0)],
      ['p99 of `GET /healthz` meanwhile, ms', column('healthz', 1)],
      ['p99 of `GET /secure` meanwhile, ms', column('secure', 1)],
    ],
  );
};

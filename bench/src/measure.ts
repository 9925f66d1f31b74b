import { bearer } from './client.ts';
import type { Cores } from './cores.ts';
import { type Fleet, type Member, startMember } from './fleet.ts';
import type { Generator } from './load.ts';
import type { Options } from './options.ts';
import { cpuSeconds, memory } from './proc.ts';
import type { Processes } from './processes.ts';
import { sum } from './statistics.ts';
import { type Storm, storm } from './storm.ts';
import { monolith, raw, type Subject, subjects } from './subjects.ts';
import { megabytes, spread, table } from './table.ts';
import { compareInTurns } from './turns.ts';

/** What every measurement works with. */
export interface Setup {
  options: Options;
  processes: Processes;
  cores: Cores;
  generator: Generator;
  fleet: Fleet;
  say: (progress: string) => void;
}

const paths = ['/', '/secure'];
const startRounds = 9;
const stormRounds = 3;
const stormSeconds = 5;

/** One slice of load on one path; CPU time is that of all processes that take part. */
const loadSlice = async ({ options, processes, cores, generator, fleet }: Setup, subject: Subject, path: string) => {
  const cpu = () => sum(subject.programs.map((name) => cpuSeconds(fleet.find(name).server.pid)));
  const url = fleet.find(subject.front).origin + path;
  const command = generator.command(url, options.seconds, `Authorization: ${bearer(fleet.token).authorization}`);
  const before = cpu();
  const { requests, failures, requestsPerSecond, p50, p99 } = generator.parse(
    await processes.run([...cores.load, ...command]),
  );
  if (failures !== '' || requests === 0) {
    throw new Error(`${subject.name}: not all requests for ${path} succeeded: ${failures || 'no answer at all'}`);
  }
  return { requestsPerSecond, requestsPerCpuSecond: requests / (cpu() - before), p50, p99 };
};

/** Throughput, CPU time and latency. */
export const measureLoad = async (setup: Setup): Promise<string> => {
  const { rounds } = setup.options;
  const rows: string[][] = [];
  for (const path of paths) {
    setup.say(`load on ${path}`);
    const yardstick = () => loadSlice(setup, { name: raw.name, front: raw.name, programs: [raw.name] }, path);
    const candidates = new Map(subjects.map((subject) => [subject.name, () => loadSlice(setup, subject, path)]));
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

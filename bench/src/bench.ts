import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { dockerAnswers, removeStack, startStack } from './containers.ts';
import { assignCores } from './cores.ts';
import { Fleet } from './fleet.ts';
import { chooseGenerator, connections } from './load.ts';
import { measureImages, measureLoad, measureProcesses, measureStorm, type Setup } from './measure.ts';
import { type Options, parseOptions, usage } from './options.ts';
import { Processes } from './processes.ts';
import { bundle, certgen } from './subjects.ts';

const measure = async (options: Options, processes: Processes, files: string): Promise<string> => {
  const cores = assignCores();
  const generator = chooseGenerator();
  const fleet = new Fleet();
  const say = (progress: string) => process.stderr.write(`bench: ${progress}\n`);

  say('starting the servers');
  await processes.run(certgen(files));
  await processes.run(bundle);
  await fleet.start(processes, cores.server, files);
  const stack = dockerAnswers() ? await startStack(processes, cores) : undefined;
  const setup: Setup = { options, processes, cores, generator, fleet, stack, say };
  const tables = [await measureLoad(setup), await measureProcesses(setup)];
  if (stack === undefined) tables.push('Docker does not answer here: nginx and the images are left out.');
  else tables.push(await measureImages(setup));
  removeStack();
  await fleet.stop();
  tables.push(await measureStorm(setup));

  const pinned = cores.pinned ? 'servers on one core, load on another' : 'nothing pinned to cores';
  const facts =
    `Node ${process.version}, ${process.platform}; ${generator.name}, ${connections} connections, ${pinned}; ` +
    `slices of ${options.seconds} s in ${options.rounds} rounds, each ÷ the mean of the raw slices just before and after it; ` +
    'medians (quartiles); request logs, to a pipe that is read, metrics and request ids on; services run from source ' +
    'unless it says otherwise.';
  return [facts, ...tables.map((text) => text.trimEnd())].join('\n\n').concat('\n');
};

/** The whole program: from the command line to the tables; it leaves neither processes nor files behind. */
export const bench = async (args: string[]): Promise<void> => {
  const options = parseOptions(args);
  if (options === 'help') {
    process.stdout.write(usage);
    return;
  }
  if ('problems' in options) {
    process.stderr.write(`${options.problems.join('\n')}\n${usage}`);
    process.exitCode = 2;
    return;
  }
  const processes = new Processes();
  const directory = mkdtempSync(join(tmpdir(), 'kubernetes-101-bench-'));
  process.once('exit', () => {
    processes.killAll();
    removeStack();
    rmSync(directory, { recursive: true, force: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
  try {
    process.stdout.write(await measure(options, processes, directory));
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n`);
    process.exitCode = 1;
    processes.killAll();
  }
};

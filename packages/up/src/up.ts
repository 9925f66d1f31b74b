import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { oneOf, parseCommandLine, port, UsageError, usage } from '@kubernetes-101/service';
import { prettyFactory } from 'pino-pretty';
import { Child, type Spec, takenPorts } from './children.ts';
import { nextChange } from './next-change.ts';
import { toPaste } from './to-paste.ts';

const flags = {
  port: port('port of the monolith; the others keep their distance to it', '8080', { max: 65_000 }),
  logs: oneOf('how to show the logs', 'pretty', ['pretty', 'json']),
  watch: oneOf('whether to start everything again when the source changes', 'no', ['no', 'yes']),
};

/** Where each form listens when the monolith has `base`; the edge has 8443 when that is 8080. */
const portsFrom = (base: number) => ({ monolith: base, hello: base + 2, auth: base + 4, edge: base + 363 });

function specs(base: number): Spec[] {
  const ports = portsFrom(base);
  const keys = ['-keys', 'keys'];
  const upstreams = ['-hello', `http://127.0.0.1:${ports.hello}`, '-auth', `http://127.0.0.1:${ports.auth}`];
  return [
    { name: 'monolith', port: ports.monolith, args: keys },
    { name: 'hello', port: ports.hello, args: keys },
    { name: 'auth', port: ports.auth, args: keys },
    { name: 'edge', port: ports.edge, args: ['-tls', 'tls', ...upstreams] },
  ];
}

/** A log line as people like to read it: who, when, what; lines that are not JSON stay as they are. */
function prettyLine(name: string, color: boolean): (line: string) => string {
  const format = prettyFactory({
    colorize: color,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname,name,method,path,status,durationMs,requestId',
    messageFormat: (log, key) =>
      log[key] === 'request'
        ? `${log.method} ${log.path} ${log.status} ${log.durationMs} ms ${log.requestId}`
        : String(log[key]),
  });
  const label = `${name.padEnd(8)} | `;
  return (line) => `${label}${line.startsWith('{') ? format(line) : `${line}\n`}`;
}

/** `make up`: both forms on loopback until Ctrl-C. Exits 1 when one of them cannot start or ends by itself. */
export async function up(process: NodeJS.Process): Promise<void> {
  const fail = (code: number, message: string) => {
    process.stderr.write(message);
    process.exitCode = code;
  };
  let config: ReturnType<typeof parseCommandLine<typeof flags>>;
  try {
    config = parseCommandLine(flags, process.argv.slice(2), {});
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return fail(2, `up: ${error.problems.join('\nup: ')}\n\n${usage('up', flags)}`);
  }
  if (typeof config === 'string') return void process.stdout.write(usage('up', flags));

  const wanted = specs(config.port);
  const taken = await takenPorts(wanted.flatMap(({ port }) => [port, port + 1]));
  if (taken.length > 0) {
    const others = `make up PORT=${config.port + 1000}`;
    return fail(1, `up: port ${taken.join(' and ')} taken: stop what listens there, or use others: ${others}\n`);
  }

  const signalled = Promise.race(['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => once(process, signal)));
  // Stay deaf to further signals while the children end.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
  const { PATH, VERSION } = process.env;
  const env = { PATH, ...(VERSION && { VERSION }) };
  const begin = (spec: Spec) => {
    const show = config.logs === 'json' ? (line: string) => `${line}\n` : prettyLine(spec.name, process.stdout.isTTY);
    return new Child(spec, env, (line) => process.stdout.write(show(line)));
  };

  let again = true;
  while (again) {
    const children = wanted.map(begin);
    const stopped = signalled.then(() => 'stopped' as const);
    const changed = config.watch === 'yes' ? nextChange() : new Promise<never>(() => {});
    try {
      const ready = Promise.all(children.map((child) => child.ready(30_000)));
      const ended = Promise.race(children.map((child) => child.failed));
      let first = await Promise.race([ready, stopped, changed, ended]);
      if (typeof first !== 'string') {
        process.stdout.write(toPaste(portsFrom(config.port)));
        first = await Promise.race([stopped, changed, ended]);
      }
      again = first === 'changed';
    } catch (error) {
      // Ctrl-C goes to the children as well, and word of their end may come before it reaches us.
      again = false;
      if ((await Promise.race([stopped, delay(200)])) !== 'stopped') {
        fail(1, `up: ${(error as Error).message}\n`);
        if (config.watch === 'yes') again = (await Promise.race([stopped, changed])) === 'changed';
      }
    }
    await Promise.all(children.map((child) => child.stop()));
  }
}

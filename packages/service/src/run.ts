import type { FastifyPluginCallback } from 'fastify';
import manifest from '../../../package.json' with { type: 'json' };
import {
  address,
  type Config,
  duration,
  type Flags,
  oneOf,
  parseCommandLine,
  UsageError,
  usage,
} from './command-line.ts';
import { drain } from './drain.ts';
import { Health, healthRoutes } from './health.ts';
import { createListener, listen, METHODS, type TlsOptions } from './listener.ts';
import { createLog, type Log, LogStream } from './log.ts';
import { Metrics } from './metrics.ts';
import { Requests } from './requests.ts';

/** What a program gets from the process that runs it. */
export interface Service {
  log: Log;
  metrics: Metrics;
  health: Health;
  /** The plugin for `/version`. */
  version: FastifyPluginCallback;
}

/** A service: a name, its own flags, and the route plugins that it is a list of. */
export interface Program<F extends Flags> {
  name: string;
  flags: F;
  /** What is wrong with the flags taken together, a line each. */
  check?: (config: Partial<Config<F>>) => string[];
  /** @throws Error whose message tells a person why the service cannot start */
  start: (service: Service, config: Config<F>) => { routes: FastifyPluginCallback[]; tls?: TlsOptions };
}

const sharedFlags = {
  http: address('address of the application', '0.0.0.0:8080'),
  health: address('address of health and metrics', '0.0.0.0:8081'),
  'drain-delay': duration('how long to go on serving after SIGTERM, while traffic moves away', '0s'),
  'shutdown-timeout': duration('how long requests in progress may take after that', '8s'),
  'log-level': oneOf('what to log', 'info', ['silent', 'fatal', 'error', 'warn', 'info', 'debug']),
};

type FullConfig<F extends Flags> = Config<typeof sharedFlags> & Config<F>;

/**
 * Runs a program until SIGTERM, SIGINT or SIGHUP, then drains and exits 0.
 *
 * Exits 2 when the command line is wrong, 1 when the program cannot start or fails beyond repair.
 */
export async function run<F extends Flags>(program: Program<F>, process: NodeJS.Process): Promise<void> {
  const version = process.env.VERSION || manifest.version;
  const config = readCommandLine(program, version, process);
  if (config === undefined) return;

  const stopping = new Promise<string>((resolve) => {
    // Listeners that stay: a second signal must not fall back to ending the process. SIGHUP: the terminal was closed.
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => resolve(signal));
    // Node's own answer to it is to open a debugger's port.
    process.on('SIGUSR1', () => {});
    // `make up` holds a channel to its children: when it is gone, so are they.
    process.on('disconnect', () => resolve('disconnect'));
  });
  const stream = new LogStream(process.stdout);
  const log = createLog(program.name, config['log-level'], stream);
  const exit = async (code: number) => {
    await stream.end(1000);
    process.exit(code);
  };
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'a bug: the process ends');
    void exit(1);
  });

  try {
    await serve(program, version, config, { log, stream, stopping });
    await exit(0);
  } catch (error) {
    process.stderr.write(`${program.name}: ${(error as Error).message}\n`);
    await exit(1);
  }
}

/** The flags; undefined when there is nothing to run, and everything has been said. */
function readCommandLine<F extends Flags>(
  { name, flags, check }: Program<F>,
  version: string,
  process: NodeJS.Process,
): FullConfig<F> | undefined {
  const all = { ...sharedFlags, ...flags };
  try {
    const config = parseCommandLine(all, process.argv.slice(2), process.env, check as never);
    if (config === 'help') process.stdout.write(usage(name, all));
    else if (config === 'version') process.stdout.write(`${name} ${version}\n`);
    else return config as FullConfig<F>;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.problems.map((problem) => `${name}: ${problem}\n`).join('')}\n${usage(name, all)}`);
    process.exitCode = 2;
  }
  return undefined;
}

async function serve<F extends Flags>(
  program: Program<F>,
  version: string,
  config: FullConfig<F>,
  { log, stream, stopping }: { log: Log; stream: LogStream; stopping: Promise<string> },
): Promise<void> {
  const metrics = new Metrics(program.name, version);
  const requests = new Requests(
    program.name,
    metrics.requestDurations,
    log.isLevelEnabled('info') ? stream : undefined,
  );
  metrics.gauge('http_requests_in_flight', 'Requests that have no complete answer yet', () => requests.inFlight);
  metrics.counter('log_lines_dropped_total', 'Log lines that could not be written', () => stream.dropped);
  const health = new Health();

  const { routes, tls } = program.start({ log, metrics, health, version: versionRoute(version) }, config);
  const shared = { requests, log, metrics };
  const app = createListener({ ...shared, routes, ...(tls && { tls }) });
  const healthPort = createListener({ ...shared, routes: [healthRoutes(health, metrics.registry)] });
  health.require(() => app.app.server.listening);
  log.info({ listener: 'health', address: await listen(healthPort, 'health', config.health) }, 'listening');
  log.info({ listener: 'http', address: await listen(app, 'http', config.http) }, 'listening');
  log.debug({ listener: 'health', routes: healthPort.routes.list() }, 'routes');
  log.debug({ listener: 'http', routes: app.routes.list() }, 'routes');

  log.info({ signal: await stopping }, 'draining');
  const times = { drainDelay: config['drain-delay'], shutdownTimeout: config['shutdown-timeout'] };
  await drain(app, healthPort, { health, requests }, times);
  log.info('stopped');
}

const versionRoute =
  (version: string): FastifyPluginCallback =>
  (app, _options, done) => {
    app.route({ method: METHODS, url: '/version', handler: () => ({ version }) });
    done();
  };

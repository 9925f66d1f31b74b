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

/**
 * Runs a program until SIGTERM or SIGINT, then drains and exits 0.
 *
 * Exits 2 when the command line is wrong, 1 when the program cannot start or fails beyond repair.
 */
export async function run<F extends Flags>(program: Program<F>, process: NodeJS.Process): Promise<void> {
  const { name } = program;
  const version = process.env.VERSION || manifest.version;
  const flags = { ...sharedFlags, ...program.flags };
  let config: Config<typeof flags> | 'help' | 'version';
  try {
    config = parseCommandLine(
      flags,
      process.argv.slice(2),
      process.env,
      (given) => program.check?.(given as Partial<Config<F>>) ?? [],
    );
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.problems.map((problem) => `${name}: ${problem}\n`).join('')}\n${usage(name, flags)}`);
    process.exitCode = 2;
    return;
  }
  if (config === 'help' || config === 'version') {
    process.stdout.write(config === 'help' ? usage(name, flags) : `${name} ${version}\n`);
    return;
  }
  const shared = config as Config<typeof sharedFlags>;

  const stopping = new Promise<string>((resolve) => {
    // Listeners that stay: a second signal must not fall back to ending the process.
    for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => resolve(signal));
    // `make up` holds a channel to its children: when it is gone, so are they.
    process.on('disconnect', () => resolve('disconnect'));
  });
  const stream = new LogStream(process.stdout);
  const log = createLog(name, shared['log-level'], stream);
  const exit = async (code: number) => {
    await stream.end(1000);
    process.exit(code);
  };
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'a bug: the process ends');
    void exit(1);
  });
  process.stderr.on('error', () => {});

  const metrics = new Metrics(name, version);
  const requests = new Requests(name, metrics.requestDurations, log.isLevelEnabled('info') ? stream : undefined);
  metrics.gauge('http_requests_in_flight', 'Requests that have no complete answer yet', () => requests.inFlight);
  metrics.counter('log_lines_dropped_total', 'Log lines that could not be written', () => stream.dropped);
  const health = new Health();
  const versionRoute: FastifyPluginCallback = (app, _options, done) => {
    app.route({ method: METHODS, url: '/version', handler: () => ({ version }) });
    done();
  };

  try {
    const { routes, tls } = program.start({ log, metrics, health, version: versionRoute }, config as Config<F>);
    const shape = { requests, log, metrics };
    const app = createListener({ ...shape, routes, ...(tls && { tls }) });
    const healthPort = createListener({ ...shape, routes: [healthRoutes(health, metrics.registry)] });
    log.info({ listener: 'health', address: await listen(healthPort, 'health', shared.health) }, 'listening');
    log.info({ listener: 'http', address: await listen(app, 'http', shared.http) }, 'listening');

    log.info({ signal: await stopping }, 'draining');
    await drain(
      app,
      healthPort,
      { health, requests },
      { drainDelay: shared['drain-delay'], shutdownTimeout: shared['shutdown-timeout'] },
    );
    log.info('stopped');
    await exit(0);
  } catch (error) {
    await stream.end(1000);
    process.stderr.write(`${name}: ${(error as Error).message}\n`);
    process.exit(1);
  }
}

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const connections = 64;

/** What one slice of load saw; latencies in milliseconds. */
export interface Load {
  requests: number;
  requestsPerSecond: number;
  p50: number;
  p99: number;
  /** What went wrong, in the generator's words; empty when every request was answered well. */
  failures: string;
}

export interface Generator {
  name: string;
  command: (url: string, seconds: number, header: string) => string[];
  parse: (output: string) => Load;
}

const milliseconds = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

/** Reads what `wrk --latency` prints. */
export const parseWrk = (output: string): Load => {
  const find = (pattern: RegExp) => pattern.exec(output)?.slice(1) ?? [];
  const latency = (percent: number) => {
    const [value, unit] = find(new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)$`, 'm'));
    return Number(value) * milliseconds[(unit ?? 'ms') as keyof typeof milliseconds];
  };
  return {
    requests: Number(find(/(\d+) requests in /)[0] ?? 0),
    requestsPerSecond: Number(find(/Requests\/sec:\s+([\d.]+)/)[0]),
    p50: latency(50),
    p99: latency(99),
    failures: (output.match(/(?:Socket errors|Non-2xx or 3xx responses): .*/g) ?? []).join('; '),
  };
};

/** Reads what `autocannon --json` prints. Its latencies are whole milliseconds: 0 is below the first one. */
export const parseAutocannon = (output: string): Load => {
  const result = JSON.parse(output);
  const failures = [`answers other than 2xx: ${result.non2xx}`, `errors: ${result.errors}`];
  return {
    requests: result.requests.total,
    requestsPerSecond: result.requests.total / result.duration,
    p50: result.latency.p50,
    p99: result.latency.p99,
    failures: failures.filter((failure) => !failure.endsWith(': 0')).join('; '),
  };
};

const wrk: Generator = {
  name: 'wrk',
  command: (url, seconds, header) => [
    'wrk',
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--timeout',
    '10s',
    '--latency',
    '-H',
    header,
    url,
  ],
  parse: parseWrk,
};

const autocannon: Generator = {
  name: 'autocannon',
  command: (url, seconds, header) => {
    const program = fileURLToPath(import.meta.resolve('autocannon'));
    return [process.execPath, program, '--json', '-c', `${connections}`, '-d', `${seconds}`, '-H', header, url];
  },
  parse: parseAutocannon,
};

/** wrk costs the load's core far less, so that the server stays the bottleneck. */
export const chooseGenerator = (): Generator => (spawnSync('wrk', ['-v']).error ? autocannon : wrk);

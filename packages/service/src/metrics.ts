import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

// The buckets that Prometheus suggests, and two below them: most answers here take well under a millisecond.
const bounds = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Series {
  labels: { route: string; method: string; status: number };
  buckets: number[];
  count: number;
  sum: number;
}

/**
 * The histogram `http_request_duration_seconds`.
 *
 * prom-client's own hashes the labels at each `observe`, which costs half as much as the request; this one counts in
 * arrays and hands them over when Prometheus asks.
 */
export class RequestDurations {
  readonly name = 'http_request_duration_seconds';
  readonly help = 'Time from the request line to the end of the answer, in seconds';
  readonly type = 'histogram';
  readonly aggregator = 'sum';
  readonly #series = new Map<string, Series>();

  observe(route: string, method: string, status: number, seconds: number): void {
    const key = `${route} ${method} ${status}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { labels: { route, method, status }, buckets: bounds.map(() => 0), count: 0, sum: 0 };
      this.#series.set(key, series);
    }
    series.count += 1;
    series.sum += seconds;
    for (let index = 0; index < bounds.length; index += 1) {
      if (seconds <= (bounds[index] as number)) {
        (series.buckets[index] as number) += 1;
        return;
      }
    }
  }

  /** Called by prom-client's registry at each scrape. */
  get() {
    const values = [];
    for (const { labels, buckets, count, sum } of this.#series.values()) {
      let below = 0;
      for (const [index, le] of bounds.entries()) {
        below += buckets[index] ?? 0;
        values.push({ metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: below });
      }
      values.push({ metricName: `${this.name}_bucket`, labels: { le: '+Inf', ...labels }, value: count });
      values.push({ metricName: `${this.name}_sum`, labels, value: sum });
      values.push({ metricName: `${this.name}_count`, labels, value: count });
    }
    return { name: this.name, help: this.help, type: this.type, values, aggregator: this.aggregator };
  }

  reset(): void {
    this.#series.clear();
  }
}

/** The metrics of a process; most are numbers that it keeps anyway, read when Prometheus asks. */
export class Metrics {
  readonly registry = new Registry();
  readonly requestDurations = new RequestDurations();
  /** Counts what is read again from files. */
  readonly reloads = new Counter({
    name: 'reloads_total',
    help: 'Times that files were read again, by what they hold and how it went',
    labelNames: ['what', 'result'] as const,
    registers: [this.registry],
  });
  /** Counts requests that could not be parsed; the listener alone sees them. */
  readonly malformedRequests = new Counter({
    name: 'http_malformed_requests_total',
    help: 'Requests that could not be parsed, by the status they were answered with',
    labelNames: ['status'] as const,
    registers: [this.registry],
  });

  constructor(name: string, version: string) {
    collectDefaultMetrics({ register: this.registry });
    // Structurally a metric; prom-client's types know its own classes only.
    this.registry.registerMetric(this.requestDurations as unknown as Gauge);
    new Gauge({
      name: 'build_info',
      help: 'What runs here; the value is always 1',
      labelNames: ['name', 'version', 'node_version'],
      registers: [this.registry],
    }).set({ name, version, node_version: process.version }, 1);
  }

  gauge(name: string, help: string, read: () => number): void {
    const collect = function (this: Gauge) {
      this.set(read());
    };
    new Gauge({ name, help, collect, registers: [this.registry] });
  }

  /** @param read a number that never falls */
  counter(name: string, help: string, read: () => number): void {
    const collect = function (this: Counter) {
      this.reset();
      this.inc(read());
    };
    new Counter({ name, help, collect, registers: [this.registry] });
  }
}

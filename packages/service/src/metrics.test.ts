import fc from 'fast-check';
import { Histogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { Metrics, RequestDurations } from './metrics.ts';

const scrape = async (metric: RequestDurations) => {
  const registry = new Registry();
  registry.registerMetric(metric as unknown as Histogram);
  return registry.metrics();
};

test('durations are a histogram of cumulative buckets, whose bounds belong to them', async () => {
  const durations = new RequestDurations();
  for (const seconds of [0.0005, 0.003, 20]) durations.observe('/', 'GET', 200, seconds);
  const labels = 'route="/",method="GET",status="200"';
  expect(await scrape(durations)).toBe(`# HELP http_request_duration_seconds ${durations.help}
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.0005",${labels}} 1
http_request_duration_seconds_bucket{le="0.001",${labels}} 1
${[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
  .map((le) => `http_request_duration_seconds_bucket{le="${le}",${labels}} 2\n`)
  .join('')}http_request_duration_seconds_bucket{le="+Inf",${labels}} 3
http_request_duration_seconds_sum{${labels}} 20.0035
http_request_duration_seconds_count{${labels}} 3
`);
});

test('whatever is observed, the text is what the histogram of prom-client would say', async () => {
  const observation = fc.tuple(
    fc.constantFrom('/', '/login', 'unknown'),
    fc.constantFrom('GET', 'POST', 'other'),
    fc.constantFrom(200, 401, 499),
    fc.oneof(fc.double({ min: 0, max: 20, noNaN: true }), fc.constantFrom(0, 0.0005, 0.1, 10)),
  );
  const bounds = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
  await fc.assert(
    fc.asyncProperty(fc.array(observation), async (observations) => {
      const ours = new RequestDurations();
      const { name, help } = ours;
      const theirs = new Histogram({
        name,
        help,
        labelNames: ['route', 'method', 'status'],
        buckets: bounds,
        registers: [],
      });
      for (const [route, method, status, seconds] of observations) {
        ours.observe(route, method, status, seconds);
        theirs.observe({ route, method, status }, seconds);
      }
      const registry = new Registry();
      registry.registerMetric(theirs);
      expect((await scrape(ours)).split('\n').sort()).toEqual((await registry.metrics()).split('\n').sort());
    }),
  );
});

test('a process tells its own numbers as they are at each scrape', async () => {
  const metrics = new Metrics('hello', '2.0.0');
  let [queued, dropped] = [3, 5];
  metrics.gauge('queue', 'what waits', () => queued);
  metrics.counter('dropped_total', 'what was lost', () => dropped);
  expect(await metrics.registry.metrics()).toMatch(/^queue 3$[\s\S]*^dropped_total 5$/m);
  [queued, dropped] = [1, 6];
  const text = await metrics.registry.metrics();
  expect(text).toMatch(/^queue 1$[\s\S]*^dropped_total 6$/m);
  expect(text).toContain(`build_info{name="hello",version="2.0.0",node_version="${process.version}"} 1\n`);
  expect(text).toMatch(/^nodejs_eventloop_lag_seconds /m);
});

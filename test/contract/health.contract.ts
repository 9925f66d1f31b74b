import { describe, expect, it } from 'vitest';
import { parseMetrics, type Sample, sumOf } from './metrics.ts';
import { expectProblem, type Suite } from './suite.ts';
import type { HealthEndpoint } from './target.ts';

const metrics = ['http_requests_in_flight', 'http_malformed_requests_total', 'log_lines_dropped_total', 'build_info'];
const defaults = ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds'];
const ofLogins = ['login_queue_length', 'logins_running'];
const ofTokens = ['token_cache_entries', 'token_cache_hits_total', 'token_cache_misses_total'];
const own: Record<string, string[]> = { monolith: [...ofLogins, ...ofTokens], auth: ofLogins, hello: ofTokens };

const probes = ['/healthz', '/readiness'];
const duration = 'http_request_duration_seconds_count';

export function healthContract(suite: Suite): void {
  const { app } = suite;
  const { front } = suite.target;

  /** A test of every health port. */
  function itOnEach(
    name: string,
    test: (send: ReturnType<typeof sender>, endpoint: HealthEndpoint) => Promise<void>,
  ): void {
    suite.itNeeds(['health'], name, async ({ health: endpoints }) => {
      for (const endpoint of endpoints) await test(sender(endpoint), endpoint);
    });
  }
  const sender = (endpoint: HealthEndpoint) => (method: string, path: string) =>
    suite.health(endpoint).send(method, path);
  const samplesOf = async (endpoint: HealthEndpoint) => parseMetrics((await sender(endpoint)('GET', '/metrics')).body);
  const samplesOfAll = async (endpoints: readonly HealthEndpoint[]) => Promise.all(endpoints.map(samplesOf));
  /** The greatest growth of a metric among the processes: the one that a request went to has it. */
  const growth = (before: Sample[][], after: Sample[][], name: string, labels: Record<string, string>) =>
    Math.max(...after.map((samples, index) => sumOf(samples, name, labels) - sumOf(before[index] ?? [], name, labels)));

  describe('the health port', () => {
    for (const path of probes) {
      itOnEach(`GET and HEAD ${path} answer 200 without a body`, async (send) => {
        expect(await send('GET', path)).toMatchObject({ status: 200, body: '', headers: { 'content-length': '0' } });
        expect(await send('HEAD', path)).toMatchObject({ status: 200, body: '' });
      });

      itOnEach(`GET and POST ${path}/status toggle ${path}, and nothing else`, async (send) => {
        const states = async () => Promise.all(probes.map(async (probe) => (await send('GET', probe)).status));
        const toggled = probes.map((probe) => (probe === path ? 503 : 200));
        for (const method of ['GET', 'POST']) {
          try {
            expect(await send(method, `${path}/status`)).toMatchObject({ status: 200, body: '' });
            expect(await states()).toEqual(toggled);
            expect(await send('GET', path)).toMatchObject({ body: '', headers: { 'content-length': '0' } });
            expect((await app.send('GET', '/')).status).toBe(200);
          } finally {
            await send(method, `${path}/status`);
          }
          expect(await states()).toEqual([200, 200]);
        }
      });

      itOnEach(`HEAD, PUT and DELETE ${path}/status answer 405 and toggle nothing`, async (send) => {
        for (const method of ['HEAD', 'PUT', 'DELETE']) {
          const answer = await send(method, `${path}/status`);
          expectProblem(answer, 405);
          expect(answer.headers.allow).toBe('GET, POST');
          expect((await send('GET', path)).status).toBe(200);
        }
      });

      itOnEach(`POST ${path} answers 405`, async (send) => {
        const answer = await send('POST', path);
        expectProblem(answer, 405);
        expect(answer.headers.allow).toBe('GET, HEAD');
      });
    }

    itOnEach('GET of any other path answers 404, those of the application too', async (send) => {
      for (const path of ['/', '/login', '/secure', '/version', '/healthz/', '/healthz/status/', '/metrics/x']) {
        expectProblem(await send('GET', path), 404);
      }
    });

    it('GET of its paths answers 404 on the application port', async () => {
      for (const path of [...probes, ...probes.map((probe) => `${probe}/status`), '/metrics']) {
        for (const method of ['GET', 'POST']) expectProblem(await app.send(method, path), 404);
      }
    });
  });

  describe('GET /metrics', () => {
    itOnEach('GET and HEAD /metrics answer 200 in the format of Prometheus', async (send) => {
      for (const method of ['GET', 'HEAD']) {
        const answer = await send(method, '/metrics');
        expect(answer.status).toBe(200);
        expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
      }
    });

    itOnEach('GET /metrics has every metric that is promised', async (send, endpoint) => {
      const samples = await samplesOf(endpoint);
      // By their types: one with labels has no samples before it has counted something.
      const types = (await send('GET', '/metrics')).body.matchAll(/^# TYPE (\S+)/gm);
      const names = [...types].map(([, name]) => name);
      for (const name of [...metrics, ...defaults, ...(own[endpoint.name] ?? [])]) expect(names).toContain(name);
      const build = samples.find((sample) => sample.name === 'build_info');
      expect(build).toMatchObject({
        value: 1,
        labels: { name: endpoint.name, node_version: expect.stringMatching(/^v\d+/) },
      });
      expect(build?.labels.version).toMatch(/^\d+\.\d+\.\d+$/);
    });

    suite.itNeeds(
      ['health'],
      'GET /metrics counts a request by route, method and status',
      async ({ health: endpoints }) => {
        const before = await samplesOfAll(endpoints);
        await app.send('GET', '/version?x=1');
        await app.send('GET', '/secure');
        await app.send('PUT', '/version');
        await expect
          .poll(
            async () => {
              const after = await samplesOfAll(endpoints);
              return [
                growth(before, after, duration, { route: '/version', method: 'GET', status: '200' }),
                growth(before, after, duration, { route: '/secure', method: 'GET', status: '401' }),
                growth(before, after, duration, { route: '/version', method: 'PUT', status: '405' }),
              ];
            },
            { timeout: 10_000 },
          )
          .toEqual([1, 1, 1]);
      },
    );

    suite.itNeeds(['health'], 'GET /metrics has no label that a client makes up', async ({ health: endpoints }) => {
      const before = await samplesOfAll(endpoints);
      await app.send('GET', '/made-up-path');
      await app.send('PROPFIND', '/another-made-up-path');
      await expect
        .poll(
          async () => {
            const after = await samplesOfAll(endpoints);
            return [
              growth(before, after, duration, { route: 'unknown', method: 'GET', status: '404' }),
              growth(before, after, duration, { route: 'unknown', method: 'other', status: '404' }),
            ];
          },
          { timeout: 10_000 },
        )
        .toEqual([1, 1]);
      const labels = (await samplesOfAll(endpoints)).flat().flatMap((sample) => Object.values(sample.labels));
      expect(labels.filter((label) => /made-up|PROPFIND/.test(label))).toEqual([]);
    });

    suite.itNeeds(['health'], 'GET /metrics counts malformed requests', async ({ health: endpoints }) => {
      const before = await samplesOfAll(endpoints);
      await app.raw('GARBAGE\r\n\r\n');
      const after = await samplesOfAll(endpoints);
      expect(growth(before, after, 'http_malformed_requests_total', {})).toBe(front === 'node' ? 1 : 0);
    });

    itOnEach('GET /metrics has one request in flight at most when there is none but it', async (_send, endpoint) => {
      const inFlight = async () => sumOf(await samplesOf(endpoint), 'http_requests_in_flight');
      await expect.poll(inFlight, { timeout: 10_000 }).toBeLessThanOrEqual(1);
    });
  });
}

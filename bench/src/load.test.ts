import { expect, test } from 'vitest';
import { parseAutocannon, parseWrk } from './load.ts';

const wrkOutput = `Running 1s test @ http://127.0.0.1:9871/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.61ms    2.87ms  65.43ms   95.42%
    Req/Sec    52.70k    19.85k   82.95k    70.00%
  Latency Distribution
     50%  980.00us
     75%    1.36ms
     90%    2.54ms
     99%    1.20s
  52458 requests in 1.01s, 6.15MB read
Requests/sec:  52075.09
Transfer/sec:      6.11MB
`;

test("wrk's latencies come in several units", () => {
  const load = parseWrk(wrkOutput);
  expect(load).toEqual({ requests: 52458, requestsPerSecond: 52075.09, p50: 0.98, p99: 1200, failures: '' });
});

test('wrk names socket errors and bad answers on lines of their own', () => {
  const sockets = 'Socket errors: connect 1, read 2, write 3, timeout 4';
  const answers = 'Non-2xx or 3xx responses: 100';
  expect(parseWrk(`${wrkOutput}  ${sockets}\n  ${answers}\n`).failures).toBe(`${sockets}; ${answers}`);
});

test('output that is not wrk’s holds no request', () => {
  expect(parseWrk('unable to connect').requests).toBe(0);
});

test('autocannon writes JSON', () => {
  const output = { requests: { total: 300 }, duration: 2, latency: { p50: 0, p99: 7 }, non2xx: 1, errors: 0 };
  const load = parseAutocannon(JSON.stringify(output));
  expect(load).toEqual({
    requests: 300,
    requestsPerSecond: 150,
    p50: 0,
    p99: 7,
    failures: 'answers other than 2xx: 1',
  });
});

import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { basic, bearer } from './client.ts';
import { percentile } from './statistics.ts';

/** The argument, as JSON: the origins of the app and of its health listener, a valid token, and how long to go on. */
export interface StormOrder {
  app: string;
  health: string;
  token: string;
  seconds: number;
}

/** Latencies are the 99th percentile in milliseconds. */
export interface StormResult {
  loginsPerSecond: number;
  refused: number;
  healthz: number;
  secure: number;
}

const simultaneous = 32;
const probesPerSecond = 100;

const { app, health, token, seconds } = JSON.parse(process.argv[2] ?? '') as StormOrder;
const agent = new Agent({ keepAlive: true });
const end = performance.now() + seconds * 1000;

const fetchStatus = (url: string, headers: Record<string, string>) =>
  new Promise<{ status: number; retryAfter: number }>((resolve, reject) => {
    get(url, { agent, headers }, (response) => {
      const { statusCode: status = 0, headers: answered } = response;
      response.resume().on('end', () => resolve({ status, retryAfter: Number(answered['retry-after'] ?? 0) }));
    }).on('error', reject);
  });

const expectStatus = (url: string, status: number) => {
  if (status !== 200) throw new Error(`${url} answered ${status} during the storm`);
};

let logins = 0;
let refused = 0;
const logIn = async () => {
  while (performance.now() < end) {
    const { status, retryAfter } = await fetchStatus(`${app}/login`, basic);
    if (status === 503) {
      refused++;
      await sleep(retryAfter * 1000);
      continue;
    }
    expectStatus('/login', status);
    if (performance.now() < end) logins++;
  }
};

// Requests leave at their time whatever became of those before, and each is timed from when it was to leave: a server
// that stalls is charged for all that it kept waiting, not for one request (coordinated omission).
const probe = async (url: string, headers: Record<string, string>) => {
  const latencies: Promise<number>[] = [];
  for (let intended = performance.now(); intended < end; intended += 1000 / probesPerSecond) {
    const wait = intended - performance.now();
    if (wait > 0) await sleep(wait);
    const measured = fetchStatus(url, headers).then(({ status }) => {
      expectStatus(url, status);
      return performance.now() - intended;
    });
    latencies.push(measured);
  }
  return percentile(await Promise.all(latencies), 99);
};

const storm = Promise.all(Array.from({ length: simultaneous }, logIn));
const [healthz, secure] = await Promise.all([
  probe(`${health}/healthz`, {}),
  probe(`${app}/secure`, bearer(token)),
  storm,
]);
const result: StormResult = { loginsPerSecond: logins / seconds, refused, healthz, secure };
process.stdout.write(JSON.stringify(result));
agent.destroy();

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Materials, makeMaterials } from './drivers/materials.ts';
import type { ServiceProcess } from './drivers/processes.ts';
import {
  basic,
  begin,
  endsWell,
  metric,
  readiness,
  send,
  servedWhileDraining,
  until,
  within,
} from './helpers/operations.ts';
import { RawConnection } from './helpers/raw-connection.ts';

let materials: Materials;
beforeAll(async () => {
  materials = await makeMaterials();
  return () => materials.remove();
});

const hello = (...args: string[]) => begin('hello', ['-keys', materials.keys, ...args]);
const draining = (process: ServiceProcess) => process.log.waitFor(({ msg }) => msg === 'draining');

describe('after SIGTERM', () => {
  test.for(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    '%s: not ready, alive, and every answer ends its connection',
    async (signal) => {
      const process = await hello('-drain-delay', '3s');
      const agent = new Agent({ keepAlive: true });
      onTestFinished(() => agent.destroy());
      expect((await send(process.url, { agent })).headers.connection).toBe('keep-alive');
      process.kill(signal);
      await until('not ready', async () => (await readiness(process.healthUrl)) === 503);
      for (const method of ['GET', 'POST', 'HEAD', 'PUT'])
        expect((await send(process.url, { method, agent })).headers.connection).toBe('close');
      expect(await send(`${process.healthUrl}/healthz`)).toMatchObject({ status: 200 });
      await endsWell(process);
      expect(servedWhileDraining(process)).toBeGreaterThan(0);
    },
  );

  test('further signals change nothing', async () => {
    const process = await hello('-drain-delay', '2s');
    process.kill('SIGTERM');
    await draining(process);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
      process.kill(signal);
      expect(await send(process.url)).toMatchObject({ status: 200 });
    }
    await endsWell(process);
    expect(process.log.entries().filter(({ msg }) => msg === 'draining')).toHaveLength(1);
  });

  test('idle and never-used connections do not hold up the exit', async () => {
    const process = await hello('-shutdown-timeout', '1h');
    for (const url of [process.url, process.healthUrl]) {
      await RawConnection.open(url);
      const used = await RawConnection.open(url, 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
      await until('an answer', () => used.received.startsWith('HTTP/1.1 '));
    }
    process.kill('SIGTERM');
    await endsWell(process);
  });

  test('a connection that never began with TLS holds up the edge no longer than a handshake may take', async () => {
    const process = await begin('edge', ['-tls', materials.tls, '-shutdown-timeout', '1h']);
    await RawConnection.open(process.url);
    process.kill('SIGTERM');
    await endsWell(process, 20_000);
  });

  test.for([
    ['header', 'GET / HTTP/1.1\r\nHost: a\r\nX-Half'],
    ['body', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf'],
  ] as const)('a half-sent %s ends with -shutdown-timeout', async ([, bytes]) => {
    const process = await hello('-shutdown-timeout', '500ms');
    const connection = await RawConnection.open(process.url, bytes);
    await until(
      'the connection is known',
      async () => (await metric(process.healthUrl, 'nodejs_active_resources', { type: 'TCPSocketWrap' })) > 1,
    );
    process.kill('SIGTERM');
    await draining(process);
    // The limits of a request would end it after 10 s at the earliest.
    await within('the connection ends', connection.closed, 5000);
    await endsWell(process);
  });

  test('the health port closes last', async () => {
    const process = await hello('-shutdown-timeout', '1h');
    const connection = await RawConnection.open(
      process.url,
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf',
    );
    await until('the request is known', async () => (await metric(process.healthUrl, 'http_requests_in_flight')) > 1);
    process.kill('SIGTERM');
    await until('the application listens no more', () =>
      send(process.url).then(
        () => false,
        () => true,
      ),
    );
    expect(await send(`${process.healthUrl}/healthz`)).toMatchObject({ status: 200 });
    expect(await readiness(process.healthUrl)).toBe(503);
    connection.hangUp();
    await endsWell(process);
  });

  test('logins in progress are answered, and their kept connections do not hold up the exit', async () => {
    const process = await begin('auth', ['-keys', materials.keys, '-shutdown-timeout', '1h']);
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const headers = basic('user', 'password');
    const logins = Array.from({ length: 16 }, () => send(`${process.url}/login`, { headers, agent }));
    // What still waits to be read when the listener closes is lost.
    await until('every login is in progress', async () => {
      const answered = await metric(process.healthUrl, 'http_request_duration_seconds_count', { route: '/login' });
      const inFlight = (await metric(process.healthUrl, 'http_requests_in_flight')) - 1; // without this look at it
      return answered + inFlight >= 16;
    });
    process.kill('SIGTERM');
    await draining(process);
    for (const { status } of await Promise.all(logins)) expect(status).toBe(200);
    await endsWell(process);
    expect(servedWhileDraining(process)).toBeGreaterThan(0);
  });
});

test('SIGUSR1 opens no debugger', async () => {
  const process = await hello();
  process.kill('SIGUSR1');
  expect(await send(process.url)).toMatchObject({ status: 200 });
  process.kill('SIGTERM');
  // Node tells of its debugger on stderr.
  await endsWell(process);
});

describe('a signal at start-up', () => {
  const root = fileURLToPath(new URL('..', import.meta.url));

  /** Starts a monolith, sends SIGTERM when `moment` has come, and gives how it ended. */
  async function signalled(moment: (child: ReturnType<typeof spawn>) => Promise<unknown>) {
    const args = ['packages/monolith/src/main.ts', '-http', '127.0.0.1:0', '-health', '127.0.0.1:0'];
    const child = spawn(process.execPath, args, { cwd: root, env: {}, stdio: ['ignore', 'pipe', 'pipe'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    const exited = once(child, 'exit');
    await moment(child);
    child.kill('SIGTERM');
    return within('the process ends', exited);
  }

  test('with the first line: it exits 0', async () => {
    const end = await signalled((child) => once(child.stdout as NodeJS.ReadableStream, 'data'));
    expect(end).toEqual([0, null]);
  });

  test('at any time before: it exits 0, or ends by the signal while there is no program yet', async () => {
    for (let milliseconds = 0; milliseconds <= 600; milliseconds += 60) {
      const end = await signalled(() => new Promise((resolve) => setTimeout(resolve, milliseconds)));
      expect([
        [0, null],
        [null, 'SIGTERM'],
      ]).toContainEqual(end);
    }
  });
});

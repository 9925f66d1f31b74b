import { join } from 'node:path';
import { connect } from 'node:tls';
import { hashSync } from 'bcryptjs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { makeMaterials } from './drivers/materials.ts';
import { keyA } from './helpers/keys.ts';
import { basic, begin, filledDirectory, login, metric, send, until } from './helpers/operations.ts';
import { RawConnection } from './helpers/raw-connection.ts';

const secret = ['-secret', keyA.secret];
/** More than wait in the longest queue: 32 for each thread, of which there are 4 at most. */
const storm = 150;
const host = 'Host: a\r\n';

/** Wherever it is compared, this takes a second and more; nobody has the password. */
const slowHash = `$2a$14$${'.'.repeat(53)}`;

describe('more logins than the queue holds', () => {
  test('some are answered 503 with Retry-After, the others 200; everything else is answered meanwhile', async () => {
    const { url, healthUrl } = await begin('monolith', secret);
    let left = storm;
    const answers = Array.from({ length: storm }, () =>
      send(`${url}/login`, { headers: basic('user', 'password') }).finally(() => {
        left -= 1;
      }),
    );
    await until('the queue is full', () => left < storm);
    const token = login(url).catch(() => '');
    let meanwhile = 0;
    while (left > 0) {
      for (const other of [`${healthUrl}/healthz`, `${url}/`, `${healthUrl}/readiness`]) {
        expect(await send(other)).toMatchObject({ status: 200 });
        if (left > 0) meanwhile += 1;
      }
    }
    expect(meanwhile).toBeGreaterThan(10);
    await token;
    const done = await Promise.all(answers);
    const refused = done.filter(({ status }) => status === 503);
    expect(refused.length).toBeGreaterThan(0);
    expect(done.length - refused.length).toBeGreaterThanOrEqual(32);
    for (const { status, headers, body } of done) {
      if (status === 503) {
        expect(headers).toMatchObject({ 'retry-after': expect.stringMatching(/^\d+$/), 'cache-control': 'no-store' });
        expect(JSON.parse(body)).toMatchObject({ status: 503, title: 'Service Unavailable' });
      } else expect({ status, body }).toEqual({ status: 200, body: expect.stringMatching(/^\{"token":"[^"]+"\}\n$/) });
    }
    expect(await metric(healthUrl, 'login_queue_length')).toBe(0);
    await login(url);
  }, 60_000);

  test('one connection cannot fill it', async () => {
    const file = `slow:${slowHash}\nquick:${hashSync('quick', 4)}\n`;
    const users = join(await filledDirectory({ users: file }), 'users');
    const { url, healthUrl } = await begin('auth', [...secret, '-users', users]);
    const request = `GET /login HTTP/1.1\r\n${host}Authorization: ${basic('slow', 'x').authorization}\r\n\r\n`;
    const polite = await RawConnection.open(url, request.repeat(32));
    await until('all of them wait', async () => (await metric(healthUrl, 'login_queue_length')) >= 32 - 4);
    polite.hangUp();
    const greedy = await RawConnection.open(url, request.repeat(storm));
    await greedy.closed;
    await until('the queue is empty', async () => (await metric(healthUrl, 'login_queue_length')) === 0);
    expect(await login(url, 'quick', 'quick')).toMatch(/\./);
  });

  test('clients that hang up free their places', async () => {
    const file = `slow:${slowHash}\nquick:${hashSync('quick', 4)}\n`;
    const users = join(await filledDirectory({ users: file }), 'users');
    const { url, healthUrl, log } = await begin('auth', [...secret, '-users', users]);
    const queue = () => metric(healthUrl, 'login_queue_length');
    const request = `POST /login HTTP/1.1\r\n${host}Authorization: ${basic('slow', 'x').authorization}\r\n\r\n`;
    const connections: RawConnection[] = [];
    for (let count = 0; count < storm; count += 1) connections.push(await RawConnection.open(url, request));
    await until('the queue is full', () => connections.some(({ received }) => received.startsWith('HTTP/1.1 503')));
    const full = await queue();
    expect(full).toBeGreaterThanOrEqual(30);
    await expect(login(url, 'quick', 'quick')).rejects.toThrow('the login was answered 503');
    const refused = connections.filter(({ received }) => received !== '').length;
    for (const connection of connections) connection.hangUp();
    // To work it off would take longer: 32 times the slow hash for each thread.
    await until('the queue is empty', async () => (await queue()) === 0, 10_000);
    expect(await login(url, 'quick', 'quick')).toMatch(/\./);
    const aborted = () => log.entries().filter(({ path, status }) => path === '/login' && status === 499);
    await until('every client that hung up is in the log', () => aborted().length >= storm - refused);
  });
});

test('a client that sends without end and reads nothing is sent away by the edge', async () => {
  const materials = await makeMaterials();
  onTestFinished(() => materials.remove());
  const hello = await begin('hello', secret);
  const edge = await begin('edge', ['-tls', materials.tls, '-hello', hello.url, '-auth', hello.url]);
  const { hostname, port } = new URL(edge.url);
  const socket = connect({ host: hostname, port: Number(port), ca: materials.ca });
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.on('error', () => {});
  const total = 20_000;
  socket.write(`GET / HTTP/1.1\r\n${host}\r\n`.repeat(total));
  await closed;
  await edge.log.waitFor(({ msg }) => msg === 'connection ended: too many requests ahead of their answers');
  await until('nothing is in flight', async () => (await metric(edge.healthUrl, 'http_requests_in_flight')) <= 1);
  expect(await metric(hello.healthUrl, 'http_request_duration_seconds_count', { route: '/' })).toBeLessThan(total / 10);
});

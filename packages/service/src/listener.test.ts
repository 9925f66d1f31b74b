import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { Writable } from 'node:stream';
import fc from 'fast-check';
import type { FastifyPluginCallback } from 'fastify';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { createListener, listen } from './listener.ts';
import { createLog, LogStream } from './log.ts';
import { Metrics } from './metrics.ts';
import { Requests } from './requests.ts';

let release: () => void;
let metrics: Metrics;
let requests: Requests;
let listener: ReturnType<typeof createListener>;
let stream: LogStream;
let written: string[];

const routes: FastifyPluginCallback = (app, _options, done) => {
  app.get('/slow', async () => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    return 'slow';
  });
  app.route({ method: ['GET', 'POST'], url: '/quick', handler: () => 'quick' });
  app.get('/broken', () => {
    throw new Error('cannot reach 10.0.0.1');
  });
  done();
};

beforeEach(async () => {
  const chunks: string[] = [];
  written = chunks;
  const sink = new Writable({
    write: (chunk, _encoding, done) => {
      chunks.push(String(chunk));
      done();
    },
  });
  stream = new LogStream(sink);
  metrics = new Metrics('test', '1.0.0');
  requests = new Requests('test', metrics.requestDurations, stream);
  listener = createListener({ routes: [routes], requests, metrics, log: createLog('test', 'info', stream) });
  await listen(listener, 'http', { host: '127.0.0.1', port: 0 });
  onTestFinished(() => {
    (listener.app.server as Server).closeAllConnections();
    return listener.app.close();
  });
});

/** The log so far, parsed: a forged or broken line would show. */
function logged() {
  stream.flush();
  return written
    .join('')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

const requestLine = (method: string, path: string, status: number) => ({
  level: 30,
  time: expect.any(Number),
  name: 'test',
  requestId: expect.stringMatching(/^[\w.-]{1,64}$/),
  method,
  path,
  status,
  durationMs: expect.any(Number),
  msg: 'request',
});

const request = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 20_000 });

/** A connection on which `text` was sent, and all that has come back. */
function send(text: string) {
  const socket = connect((listener.app.server.address() as AddressInfo).port, '127.0.0.1');
  const client = { socket, received: '', closed: once(socket, 'close') };
  socket.setEncoding('latin1').on('data', (data: string) => {
    client.received += data;
  });
  socket.write(text, 'latin1');
  return client;
}

const receive = async (text: string) => {
  const client = send(text);
  await client.closed;
  return client.received;
};

test.for(['destroy', 'resetAndDestroy'] as const)(
  'requests of a client that goes away (%s) are in flight no more, those queued behind another neither',
  async (leave) => {
    const { socket } = send(request('/slow') + request('/quick?secret').repeat(3) + request('/unknown'));
    await until(() => requests.inFlight === 5);
    socket[leave]();
    await until(() => requests.inFlight === 0);
    release();
    await receive(request('/quick', 'Connection: close\r\n'));
    expect(requests.inFlight).toBe(0);
    expect(logged()).toEqual([
      requestLine('GET', '/slow', 499),
      ...Array(3).fill(requestLine('GET', '/quick', 499)),
      requestLine('GET', '/unknown', 499),
      requestLine('GET', '/quick', 200),
    ]);
    const text = await metrics.registry.metrics();
    expect(text).toContain('http_request_duration_seconds_count{route="/quick",method="GET",status="499"} 3\n');
    expect(text).toContain('http_request_duration_seconds_count{route="unknown",method="GET",status="499"} 1\n');
  },
);

test('a client that goes away in the middle of its body leaves nothing in flight', async () => {
  const { socket } = send('POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf');
  await until(() => requests.inFlight === 1);
  socket.destroy();
  await until(() => requests.inFlight === 0);
  expect(logged()).toContainEqual(requestLine('POST', '/quick', 499));
});

test('a body that never ends is answered 408', async () => {
  const server = listener.app.server as Server;
  // Node swaps the two where headers may take longer than the whole request.
  server.headersTimeout = 1;
  server.requestTimeout = 1;
  const received = await receive('POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf');
  expect(received).toMatch(/^HTTP\/1.1 408 .*\r\n\r\n\{"status":408,"title":"Request Timeout"\}\n$/s);
  await until(() => requests.inFlight === 0);
  expect(logged()).toContainEqual(expect.objectContaining({ msg: 'malformed request', status: 408 }));
});

test('what nobody foresaw is answered 500 without a word of it, and logged with its stack', async () => {
  const received = await receive(request('/broken?secret', 'X-Request-Id: abc\r\nConnection: close\r\n'));
  expect(received).toMatch(/^HTTP\/1.1 500 .*\r\n\r\n\{"status":500,"title":"Internal Server Error"\}\n$/s);
  expect(received).not.toContain('10.0.0.1');
  expect(logged()).toEqual([
    {
      level: 50,
      time: expect.any(Number),
      name: 'test',
      requestId: 'abc',
      err: expect.objectContaining({
        message: 'cannot reach 10.0.0.1',
        stack: expect.stringContaining('listener.test.ts'),
      }),
      msg: 'request failed',
    },
    { ...requestLine('GET', '/broken', 500), requestId: 'abc' },
  ]);
});

test('requests before one that cannot be parsed get their answers, in order, and the connection ends', async () => {
  const client = send(`${request('/slow') + request('/quick')}NONSENSE\r\n\r\n`);
  await until(() => logged().some(({ msg }) => msg === 'malformed request'));
  expect(client.received).toBe('');
  release();
  await client.closed;
  expect(client.received.match(/HTTP.1.1 200|slow|quick/g)).toEqual(['HTTP/1.1 200', 'slow', 'HTTP/1.1 200', 'quick']);
  expect(await metrics.registry.metrics()).toContain('http_malformed_requests_total{status="400"} 1\n');
  expect(requests.inFlight).toBe(0);
});

test('while draining, every answer ends its connection', async () => {
  requests.draining = true;
  for (const path of ['/quick', '/unknown', '/broken', '/%zz'])
    expect(await receive(request(path))).toMatch(/^connection: close\r$/im);
});

test('no request target breaks or forges a log line, and the query is in none', async () => {
  const visible = fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)) });
  await fc.assert(
    fc.asyncProperty(visible, visible, async (path, query) => {
      written.length = 0;
      await receive(request(`/${path}?${query}`, 'Connection: close\r\n'));
      const target = `/${path}`.replace(/[?#].*/, '');
      expect(logged()).toEqual([requestLine('GET', target, expect.any(Number) as never)]);
    }),
  );
  written.length = 0;
  await receive(request(`/${'a'.repeat(1000)}`, 'Connection: close\r\n'));
  expect(logged()).toEqual([requestLine('GET', `/${'a'.repeat(255)}…`, 404)]);
});

test('an address that is taken or does not exist is told in a sentence with the flag that changes it', async () => {
  const { port } = listener.app.server.address() as AddressInfo;
  const other = () => createListener({ routes: [], requests, metrics, log: createLog('test', 'silent', stream) });
  await expect(listen(other(), 'http', { host: '127.0.0.1', port })).rejects.toThrow(
    `cannot listen on 127.0.0.1:${port}: the port is taken; choose another with -http`,
  );
  await expect(listen(other(), 'health', { host: '192.0.2.1', port: 0 })).rejects.toThrow(
    'cannot listen on 192.0.2.1:0: this machine has no such address; choose another with -health',
  );
});

test('a client that resets its CONNECT harms nobody', async () => {
  const errors: unknown[] = [];
  const note = (error: unknown) => errors.push(error);
  process.on('uncaughtException', note);
  onTestFinished(() => void process.off('uncaughtException', note));
  const socket = connect((listener.app.server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write('CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n');
  socket.resetAndDestroy();
  expect(await receive(request('/quick', 'Connection: close\r\n'))).toContain('quick');
  expect(errors).toEqual([]);
});

test('a body that cannot be parsed is answered in its turn, and told of once', async () => {
  const client = send(`${request('/slow')}POST /quick HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`);
  await until(() => logged().some(({ msg }) => msg === 'malformed request'));
  client.socket.write('more nonsense');
  await receive(request('/quick', 'Connection: close\r\n'));
  release();
  await client.closed;
  expect(client.received.match(/HTTP.1.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400']);
  expect(logged().filter(({ msg }) => msg === 'malformed request')).toHaveLength(1);
});

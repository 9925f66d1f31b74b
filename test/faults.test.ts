import { randomUUID, type X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Client } from './contract/client.ts';
import type { LogLine } from './contract/target.ts';
import { type Container, run, Stack } from './drivers/containers.ts';
import { describeWithDocker } from './helpers/docker.ts';
import { Load } from './helpers/load.ts';
import { basic, send, servedWhileDraining, until, within } from './helpers/operations.ts';

const greeting = { status: 200, body: '{"message":"Hello"}\n' };
const problem = (status: number, title: string) => ({ status, body: `${JSON.stringify({ status, title })}\n` });
const docker = (command: string, ...containers: Container[]) =>
  run('docker', [command, ...containers.map(({ id }) => id)]);

describeWithDocker('nginx in front of hello and auth', () => {
  const stack = new Stack({ hellos: 2, drainDelay: '8s' });
  beforeAll(() => stack.start(), 600_000);
  afterAll(() => stack.remove(), 60_000);

  const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    send(`${stack.urlOf('frontend')}${path}`, { ca: stack.ca, headers, method });
  const frontendLines = () => stack.one('frontend').log.entries();

  describe('a request that two parsers could read in two ways', () => {
    const client = new Client(() => ({ url: stack.urlOf('frontend'), ca: stack.ca }), 'nginx');
    const services = () => ['hello', 'auth'].flatMap((service) => stack.all(service));

    /** Waits until hello and auth have logged all that they were sent. */
    async function settle(): Promise<void> {
      const id = randomUUID();
      const logged = services().map(async ({ address, log }) => {
        await send(`http://${address(8081)}/readiness`, { headers: { 'x-request-id': id } });
        await log.waitFor(({ requestId }) => requestId === id);
      });
      await Promise.all(logged);
    }

    /** Sends bytes; gives the statuses that came back, and what hello and auth saw of them. */
    async function sendRaw(bytes: string) {
      await settle();
      const before = services().map(({ log }) => log.entries().length);
      const answers = await client.raw(bytes);
      await settle();
      const isSeen = ({ msg, path }: LogLine) => /request$/.test(msg) && path !== '/readiness' && path !== '/healthz';
      const seen = services().flatMap(({ log }, index) => log.entries().slice(before[index]).filter(isSeen));
      return {
        statuses: answers.map(({ status }) => status),
        seen: seen.map(({ name, path }) => `${name} ${path}`).sort(),
      };
    }

    const head = (first: string, ...lines: string[]) => [first, 'Host: a', ...lines, '', ''].join('\r\n');
    const smuggled = head('GET /smuggled HTTP/1.1', 'Connection: close');
    const post = (...lines: string[]) => head('POST / HTTP/1.1', ...lines);

    test.each([
      ['both lengths', `${post('Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n${smuggled}`],
      ['both lengths, the other way', `${post('Transfer-Encoding: chunked', 'Content-Length: 5')}0\r\n\r\n${smuggled}`],
      ['two lengths', post('Content-Length: 0', `Content-Length: ${smuggled.length}`) + smuggled],
      ['a list of lengths', post(`Content-Length: 0, ${smuggled.length}`) + smuggled],
      ['a signed length', post('Content-Length: +0') + smuggled],
      ['an unknown encoding', `${post('Transfer-Encoding: xchunked')}0\r\n\r\n${smuggled}`],
      ['an encoding after chunked', `${post('Transfer-Encoding: chunked, identity')}0\r\n\r\n${smuggled}`],
      ['chunked twice', `${post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')}0\r\n\r\n${smuggled}`],
      ['a space after Transfer-Encoding', `${post('Transfer-Encoding : chunked')}0\r\n\r\n${smuggled}`],
      ['a chunk larger than 64 bits', `${post('Transfer-Encoding: chunked')}10000000000000000\r\n${smuggled}`],
      ['a chunk size that is no number', `${post('Transfer-Encoding: chunked')}0x0\r\n\r\n${smuggled}`],
      ['a chunk without its line end', `${post('Transfer-Encoding: chunked')}1\r\nx0\r\n\r\n${smuggled}`],
      ['chunked over HTTP/1.0', `POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
      ['two Hosts', head('GET / HTTP/1.1', 'Host: b') + smuggled],
      ['two Authorizations', head('GET / HTTP/1.1', 'Authorization: a', 'Authorization: b') + smuggled],
      ['a folded header', head('GET / HTTP/1.1', 'X-A: b', ' c') + smuggled],
      ['a bare CR in a header', head('GET / HTTP/1.1', 'X-A: b\rX-B: c') + smuggled],
      ['a NUL in a header', head('GET / HTTP/1.1', 'X-A: b\0c') + smuggled],
      ['a NUL in the path', head('GET /login%00 HTTP/1.1') + smuggled],
      ['a path above the root', head('GET /../login HTTP/1.1') + smuggled],
      ['a long header', head('GET / HTTP/1.1', `X-A: ${'x'.repeat(9000)}`) + smuggled],
      ['a long path', head(`GET /${'x'.repeat(9000)} HTTP/1.1`) + smuggled],
      ['a long body', post('Content-Length: 4097') + 'x'.repeat(4097) + smuggled],
      [
        'a long chunked body',
        `${post('Transfer-Encoding: chunked')}1001\r\n${'x'.repeat(4097)}\r\n0\r\n\r\n${smuggled}`,
      ],
      ['CONNECT', head('CONNECT a:443 HTTP/1.1', 'Connection: close')],
      ['TRACE', head('TRACE / HTTP/1.1', 'Connection: close')],
    ])('%s is refused with one answer, and nobody else sees anything of it', async (_case, bytes) => {
      const { statuses, seen } = await sendRaw(bytes);
      expect(statuses).toEqual([expect.toSatisfy((status: number) => status >= 400 && status < 500)]);
      expect(seen).toEqual([]);
    });

    test.each(['GET /\r\n', 'POST /login\r\nabc\r\n0\r\n\r\n', 'PUT /\r\n', 'BREW /\r\n'])(
      'HTTP/0.9, which has no way to refuse, is hung up on: %j',
      async (bytes) => {
        expect(await sendRaw(bytes)).toEqual({ statuses: [], seen: [] });
      },
    );

    test('bare LF as line ends are read as one request', async () => {
      const bytes = 'GET /version HTTP/1.1\nHost: a\nConnection: close\n\n';
      expect(await sendRaw(bytes)).toEqual({ statuses: [200], seen: ['hello /version'] });
    });

    test.each(['/x/../login', '/./login', '/%2e/login', '/x/%2E%2e/login', '//login', '/%2flogin', '/x/..%2Flogin'])(
      'GET %s is not GET /login',
      async (path) => {
        const credentials = `Authorization: ${basic('user', 'password').authorization}`;
        const { statuses, seen } = await sendRaw(head(`GET ${path} HTTP/1.1`, 'Connection: close', credentials));
        expect(statuses).toEqual([404]);
        expect(seen.filter((line) => line.startsWith('auth'))).toEqual([]);
      },
    );

    test('a body that looks like a request is a body', async () => {
      const bytes =
        post(`Content-Length: ${smuggled.length}`) + smuggled + head('GET /version HTTP/1.1', 'Connection: close');
      expect(await sendRaw(bytes)).toEqual({ statuses: [200, 200], seen: ['hello /', 'hello /version'] });
    });
  });

  describe('when something fails', () => {
    let upstream = 'server hello:80;';
    /** What nginx is to send to: hello by its name, for all addresses that Docker knows of, or one by one. */
    async function upstreams(...hellos: Container[]): Promise<void> {
      const lines = hellos.map(({ name }) => `server ${name}:80;`).join(' ') || 'server hello:80;';
      if (lines !== upstream) await stack.configure('frontend/frontend.conf', upstream, lines);
      upstream = lines;
    }

    /** nginx asks for addresses, certificate and configuration anew; resolves when those of before are no longer used. */
    async function reload(): Promise<void> {
      const workers = async () => {
        const processes = (await run('docker', ['top', stack.one('frontend').id, '-eo', 'pid,args'])).split('\n');
        return processes.flatMap((line) => /^(\d+)\s+nginx: worker/.exec(line)?.[1] ?? []);
      };
      const old = await workers();
      await stack.execute('frontend', 'nginx', '-c', '/etc/nginx/shared/nginx.conf', '-s', 'reload');
      const replaced = async () => {
        const now = await workers();
        return now.length > 0 && now.every((worker) => !old.includes(worker));
      };
      await until('the workers of before have ended', replaced, 30_000);
    }

    async function scale(hellos: number): Promise<Container[]> {
      const up = ['up', '--detach', '--no-build', '--wait', '--no-recreate', '--scale', `hello=${hellos}`];
      // One that hung a moment ago is not healthy for a while.
      await until('all containers are healthy', () => stack.compose(...up).then(() => true), 60_000);
      await stack.refresh();
      return stack.all('hello');
    }

    const load = () => new Load(stack.urlOf('frontend'), stack.signingKey, stack.ca);
    const logIn = async () => (await get('/login', basic('user', 'password'))).status;

    beforeEach(async () => {
      await scale(2);
      await upstreams();
      await reload();
      await until('a login is answered', async () => (await logIn()) === 200);
    }, 60_000);

    test('GET /login answers 502 when auth is stopped, and GET / as before', async () => {
      await docker('stop', stack.one('auth'));
      expect(await get('/login', basic('user', 'password'))).toMatchObject(problem(502, 'Bad Gateway'));
      expect(await get('/')).toMatchObject(greeting);
    }, 60_000);

    /** The answers while containers hang; none may take longer than a person waits. */
    async function whileHanging(containers: Container[], requests: () => ReturnType<typeof get>[]) {
      await docker('pause', ...containers);
      try {
        return await within('answers', Promise.all(requests()), 15_000);
      } finally {
        await docker('unpause', ...containers);
      }
    }

    test('GET / answers 200 when one of two hellos hangs, and POST, which is sent once, 504', async () => {
      const hello = stack.all('hello').slice(0, 1);
      const eight = Array.from({ length: 8 });
      const requests = () => [...eight.map(() => get('/')), ...eight.map(() => get('/', {}, 'POST'))];
      const answers = await whileHanging(hello, requests);
      expect(answers.slice(0, 8)).toMatchObject(eight.map(() => greeting));
      expect(new Set(answers.slice(8).map(({ status }) => status))).toEqual(new Set([200, 504]));
    }, 60_000);

    test('GET / and GET /login answer 504 when all hellos and auth hang', async () => {
      const all = [...stack.all('hello'), stack.one('auth')];
      const answers = await whileHanging(all, () => [get('/'), get('/login', basic('user', 'password'))]);
      expect(answers).toMatchObject(answers.map(() => problem(504, 'Gateway Timeout')));
    }, 60_000);

    test('no GET fails when one of two hellos is killed under load, and no POST that begins later', async () => {
      const requests = load();
      await requests.goesOn();
      await docker('kill', stack.all('hello')[0] as Container);
      const begun = requests.sent;
      await requests.goesOn();
      await requests.goesOn();
      await requests.end();
      expect(requests.failures.filter(({ method, after }) => method !== 'POST' || after >= begun)).toEqual([]);
      // The test means nothing unless requests were tried again.
      expect(frontendLines().filter(({ upstream, status }) => /,/.test(`${upstream}`) && status === 200)).not.toEqual(
        [],
      );
    }, 90_000);

    test('no request fails while one hello takes the place of another', async () => {
      const [old, kept] = stack.all('hello') as [Container, Container];
      await upstreams(old, kept);
      await reload();
      const requests = load();
      await requests.goesOn();
      const fresh = (await scale(3)).find((hello) => hello !== old && hello !== kept) as Container;
      await run('docker', ['kill', '--signal', 'TERM', old.id]);
      // The test means nothing unless the old one is still sent to.
      await until('the old one answers while it drains', () => servedWhileDraining(old) > 0);
      await upstreams(kept, fresh);
      await reload();
      expect(await run('docker', ['wait', old.id])).toBe('0\n');
      await requests.goesOn();
      await requests.end();
      expect(requests.failures).toEqual([]);
    }, 90_000);

    test('another hello is sent to after a reload', async () => {
      const hellos = await scale(3);
      await reload();
      const id = randomUUID();
      const asked = async () => {
        await get('/', { 'x-request-id': id });
        return hellos.every(({ log }) => log.entries().some(({ requestId }) => requestId === id));
      };
      await until('every hello has answered', asked);
    }, 60_000);

    test('a new certificate is served after a reload, and no request fails', async () => {
      const certgen = (...args: string[]) => stack.compose('run', '--rm', '--no-deps', ...args);
      const serial = async () => {
        const { hostname: host, port } = new URL(stack.urlOf('frontend'));
        const socket = connect({ host, port: Number(port), ca: stack.ca, servername: host });
        await once(socket, 'secureConnect');
        const { serialNumber } = socket.getPeerX509Certificate() as X509Certificate;
        socket.destroy();
        return serialNumber;
      };
      const old = await serial();
      const requests = load();
      await requests.goesOn();
      await certgen('--entrypoint', '/nodejs/bin/node', 'certgen', '-e', 'fs.rmSync("/made/tls/tls.crt")');
      expect((await certgen('certgen')).match(/^made .*/gm)).toEqual(['made /made/tls/tls.crt (was missing)']);
      await reload();
      expect(await serial()).not.toBe(old);
      await requests.goesOn();
      await requests.end();
      expect(requests.failures).toEqual([]);
    }, 90_000);

    test('60 wrong logins are answered 429 after the first ones, wherever they say they come from', async () => {
      const paths = ['/login', '/%6cogin', '/login?again'];
      const guesses = Array.from({ length: 60 }, (_, index) =>
        get(paths[index % paths.length] as string, {
          ...basic('user', `guess ${index}`),
          'x-forwarded-for': `192.0.2.${index}`,
          forwarded: `for=192.0.2.${index}`,
          'x-real-ip': `192.0.2.${index}`,
          'x-request-id': `guess-${index}`,
        }),
      );
      const others = Array.from({ length: 60 }, () => get('/'));
      const answers = await Promise.all(guesses);
      const refused = answers.filter(({ status }) => status === 429);
      expect(refused.length).toBeGreaterThan(0);
      expect(answers.filter(({ status }) => status === 401).length).toBe(answers.length - refused.length);
      for (const { body, headers } of refused) {
        expect({ status: 429, body }).toEqual(problem(429, 'Too Many Requests'));
        expect(headers).toMatchObject({
          'content-type': 'application/problem+json',
          'cache-control': 'no-store',
          'retry-after': '1',
          'x-content-type-options': 'nosniff',
          'x-request-id': expect.stringMatching(/^guess-\d+$/),
        });
      }
      for (const { status } of await Promise.all(others)) expect(status).toBe(200);
      await until('a good login is answered again', async () => (await logIn()) === 200);
      const ids = new Set(refused.map(({ headers }) => headers['x-request-id']));
      expect(
        stack
          .one('auth')
          .log.entries()
          .filter(({ requestId }) => ids.has(requestId as string)),
      ).toEqual([]);
    }, 60_000);
  });
});

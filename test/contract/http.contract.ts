import { METHODS } from 'node:http';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { basic, expectJson, expectProblem, expectUnauthorized, type Suite } from './suite.ts';

const routes = ['/', '/login', '/secure', '/version'];
const otherMethods = ['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND'];
const limit = 4096;

/** Paths that look like routes, or like what only the health port answers. */
const unknownPaths = [
  ...['/nope', '/loginx', '/Login', '/login/', '/secure/', '/version/', '//', '//login', '/./login', '/x/../login'],
  ...['/%2e/login', '/%2flogin', '/login%2f', '/login%00', '/login%20', '/login;x=1', '/index.html', '/favicon.ico'],
  ...['/*', '/:path', '/__proto__', '/constructor', '/..%2f..%2fetc%2fpasswd', '/%c3%a4', '/%e2%80%a8'],
  ...['/healthz', '/readiness', '/healthz/status', '/readiness/status', '/metrics', '/%68ealthz', '/healthz/'],
];

/** Of those, what nginx's parser refuses before it looks at any other line: NUL, and what leads out of the root. */
const refusedByNginx = ['/login%00', '/..%2f..%2fetc%2fpasswd'];

const contentTypes = {
  'of a form': 'application/x-www-form-urlencoded',
  'of JSON': 'application/json',
  'of JSON with an odd charset': 'application/json; charset=klingon',
  'of text': 'text/plain',
  'of a multipart without a boundary': 'multipart/form-data',
  'that is unknown': 'application/x-unknown',
  'that is malformed': 'garbage',
  'that is only parameters': ';;;',
  'with a broken parameter': 'text/plain; a="',
};

const chunked = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

export function httpContract(suite: Suite): void {
  const { app } = suite;
  const nginx = suite.target.front === 'nginx';
  const rawHeadersFor = async (path: string) =>
    Object.entries(await suite.headersFor(path)).map(([name, value]) => `${name}: ${value}`);

  describe.each(routes)('methods and bodies on %s', (path) => {
    const get = async () => app.send('GET', path, { headers: await suite.headersFor(path) });
    // Tokens differ from one second to the next.
    const untimed = (body: string) => body.replace(/"[\w.-]+\.[\w.-]+\.[\w.-]+"/, '"token"');

    it(`HEAD ${path} answers as GET, without the body`, async () => {
      const expected = await get();
      const answer = await app.send('HEAD', path, { headers: await suite.headersFor(path) });
      expect(answer).toMatchObject({ status: 200, body: '' });
      for (const name of ['content-type', 'content-length', 'cache-control']) {
        expect(answer.headers[name], name).toBe(expected.headers[name]);
      }
    });

    it(`POST ${path} answers as GET, to an empty form (curl -d '')`, async () => {
      const headers = { ...(await suite.headersFor(path)), 'content-type': 'application/x-www-form-urlencoded' };
      const answer = await app.send('POST', path, { headers, body: '' });
      expectJson(answer, answer.body);
      expect(untimed(answer.body)).toBe(untimed((await get()).body));
    });

    it.each(otherMethods)(`%s ${path} answers 405 with the methods that are allowed`, async (method) => {
      const answer = await app.send(method, path, { headers: await suite.headersFor(path) });
      expectProblem(answer, 405);
      expect(answer).toMatchObject({
        body: '{"status":405,"title":"Method Not Allowed"}\n',
        headers: { allow: 'GET, HEAD, POST', 'content-length': '44' },
      });
    });

    it.each(['GET', 'POST'])(`%s ${path} reads and ignores a body of ${limit} bytes`, async (method) => {
      const answer = await app.send(method, path, { headers: await suite.headersFor(path), body: 'x'.repeat(limit) });
      expect(answer.status).toBe(200);
    });

    it.each(['GET', 'POST'])(`%s ${path} reads and ignores a chunked body of ${limit} bytes`, async (method) => {
      const headers = [...(await rawHeadersFor(path)), 'Transfer-Encoding: chunked'];
      expect((await app.rawRequest(method, path, headers, chunked('x'.repeat(limit)))).status).toBe(200);
    });

    it.each(['GET', 'POST'])(`%s ${path} answers 413 to a body of ${limit + 1} bytes`, async (method) => {
      const headers = [...(await rawHeadersFor(path)), `Content-Length: ${limit + 1}`];
      expectProblem(await app.rawRequest(method, path, headers, 'x'.repeat(limit + 1)), 413);
    });

    it.each(['GET', 'POST'])(`%s ${path} answers 413 to a chunked body of ${limit + 1} bytes`, async (method) => {
      const headers = [...(await rawHeadersFor(path)), 'Transfer-Encoding: chunked'];
      expectProblem(await app.rawRequest(method, path, headers, chunked('x'.repeat(limit + 1))), 413);
    });
  });

  describe('bodies', () => {
    it.each(Object.entries(contentTypes))(
      'POST / answers 200 to a body with a content type %s',
      async (_case, type) => {
        const answer = await app.send('POST', '/', { headers: { 'content-type': type }, body: '{"broken' });
        expectJson(answer, '{"message":"Hello"}\n');
      },
    );

    it('POST / answers 200 to a body without a content type, or with an empty one', async () => {
      expectJson(await app.rawRequest('POST', '/', ['Content-Length: 1'], 'x'), '{"message":"Hello"}\n');
      expectJson(
        await app.rawRequest('POST', '/', ['Content-Type:', 'Content-Length: 1'], 'x'),
        '{"message":"Hello"}\n',
      );
    });

    it('POST / answers 200 to a JSON body of no bytes', async () => {
      const headers = { 'content-type': 'application/json', 'content-length': '0' };
      expectJson(await app.send('POST', '/', { headers }), '{"message":"Hello"}\n');
    });

    it('POST / answers 200 to a body in an encoding that it does not know', async () => {
      expectJson(
        await app.send('POST', '/', { headers: { 'content-encoding': 'zzip' }, body: 'x' }),
        '{"message":"Hello"}\n',
      );
    });

    it('POST / answers 200 to chunks with extensions and trailers', async () => {
      const body = '1;a=b\r\nx\r\n0\r\nX-Trailer: 1\r\nAuthorization: Bearer x\r\n\r\n';
      expectJson(await app.rawRequest('POST', '/', ['Transfer-Encoding: chunked'], body), '{"message":"Hello"}\n');
    });

    it('POST / answers 413 to a body whose length alone is too much, and reads none of it', async () => {
      expectProblem(await app.rawRequest('POST', '/', ['Content-Length: 1000000000'], 'x'), 413);
    });

    it('POST /nope answers 404 to a body', async () => {
      expectProblem(await app.send('POST', '/nope', { body: 'x' }), 404);
    });
  });

  describe('paths', () => {
    it.each(unknownPaths)('GET %s answers 404', async (path) => {
      const answer = await app.rawRequest('GET', path);
      if (nginx && refusedByNginx.includes(path)) {
        expectProblem(answer, 400);
        return;
      }
      expectProblem(answer, 404);
      expect(answer.body).toBe('{"status":404,"title":"Not Found"}\n');
    });

    it.each(['HEAD', 'POST', ...otherMethods])('%s /nope answers 404', async (method) => {
      const answer = await app.send(method, '/nope');
      if (nginx && method === 'TRACE') {
        // nginx passes it on to nobody, so it does not know the path.
        expectProblem(answer, 405);
        return;
      }
      expectProblem(answer, 404);
      expect(answer.headers).not.toHaveProperty('allow');
      expect(answer.headers['content-length']).toBe('35');
    });

    it('GET /%6cogin and GET /%73ecure are /login and /secure', async () => {
      expectUnauthorized(await app.rawRequest('GET', '/%6cogin'), 'Basic realm="kubernetes-101", charset="UTF-8"');
      expectUnauthorized(await app.rawRequest('GET', '/%73ecure'), 'Bearer realm="kubernetes-101"');
    });

    it('PUT /%6cogin answers 405', async () => {
      const answer = await app.rawRequest('PUT', '/%6cogin');
      expectProblem(answer, 405);
      expect(answer.headers.allow).toBe('GET, HEAD, POST');
    });

    it.each(['/%zz', '/login%', '/%', '/%f', '/%ff', '/%c0%af'])('GET %s answers 400', async (path) => {
      const answer = await app.rawRequest('GET', path);
      expectProblem(answer, 400);
      expect(answer.body).not.toContain(path);
      expect(answer.headers).toHaveProperty('x-request-id');
    });

    it.each(['http://example.com', 'https://example.com:444', 'HTTP://user@[::1]:8080'])(
      'GET %s… (absolute form) answers as the path in it',
      async (origin) => {
        if (nginx && origin.includes('@')) {
          // RFC 9110 §4.2.4 lets a recipient take a user's name before the host for an error.
          expectProblem(await app.rawRequest('GET', `${origin}/`), 400);
          return;
        }
        expectJson(await app.rawRequest('GET', `${origin}/`), '{"message":"Hello"}\n');
        expectJson(await app.rawRequest('GET', `${origin}/?a=http://b/c`), '{"message":"Hello"}\n');
        expectUnauthorized(await app.rawRequest('GET', `${origin}/secure`), 'Bearer realm="kubernetes-101"');
        expect((await app.rawRequest('GET', `${origin}/login?x`)).headers['www-authenticate']).toMatch(/^Basic/);
        expectProblem(await app.rawRequest('GET', `${origin}/nope`), 404);
        expectProblem(await app.rawRequest('PUT', `${origin}/version`), 405);
      },
    );

    it('GET /#fragment is GET /', async () => {
      expectJson(await app.rawRequest('GET', '/#fragment'), '{"message":"Hello"}\n');
      expectJson(await app.rawRequest('GET', '/#fragment?query'), '{"message":"Hello"}\n');
      expectUnauthorized(await app.rawRequest('GET', '/secure#fragment'), 'Bearer realm="kubernetes-101"');
    });

    it.each(['*', 'login', 'localhost:80', '?', '#'])('GET %s answers 400: it is no path', async (target) => {
      expectProblem(await app.rawRequest('GET', target), 400);
      expectProblem(await app.rawRequest('OPTIONS', target), 400);
    });

    it('no path is answered with a server error', async () => {
      const byte = fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code));
      const piece = fc.oneof(
        byte,
        fc.constantFrom('/', '//', '%', '%2', '%00', '%c3%28', '..', '?', '#', '"', '\\', ...routes),
      );
      const path = fc.array(piece, { maxLength: 30 }).map((pieces) => `/${pieces.join('')}`);
      await neverFails(path, (target) => app.raw(app.text('GET', target)));
    });

    it('no method is answered with a server error', async () => {
      const method = fc.oneof(
        // An answer to HEAD cannot be told from one that is cut short.
        fc.constantFrom(...METHODS.filter((name) => name !== 'HEAD'), 'get', 'BREW'),
        fc.string({ minLength: 1, maxLength: 20, unit: fc.constantFrom(...'ABCXYZabcxyz-_!~|') }),
      );
      await neverFails(fc.tuple(method, fc.constantFrom(...routes, '/nope', '*')), ([name, target]) =>
        app.raw(app.text(name, target)),
      );
    });
  });

  describe('headers', () => {
    it('no value of a header is answered with a server error', async () => {
      const names = ['Accept', 'Authorization', 'Content-Type', 'Cookie', 'Date', 'Expect', 'Forwarded', 'If-Match'];
      const more = [
        'Range',
        'TE',
        'Trailer',
        'Upgrade',
        'Via',
        'X-Forwarded-For',
        'X-Request-Id',
        'Keep-Alive',
        'Origin',
      ];
      const byte = fc.oneof(
        fc.constant(0x09),
        fc.integer({ min: 0x20, max: 0x7e }),
        fc.integer({ min: 0x80, max: 0xff }),
      );
      const value = fc.array(byte, { maxLength: 60 }).map((bytes) => String.fromCharCode(...bytes));
      const header = fc.tuple(fc.constantFrom(...names, ...more), value).map((pair) => pair.join(': '));
      await neverFails(fc.tuple(fc.constantFrom(...routes), header), ([path, line]) =>
        app.raw(app.text('GET', path, [line])),
      );
    });

    it('no Authorization is answered with anything but 401 by /secure and /login', async () => {
      const scheme = fc.constantFrom('Basic ', 'Bearer ', 'basic  ', 'Bearer\t', 'Negotiate ', '');
      const text = fc.oneof(
        fc.base64String({ maxLength: 80 }),
        fc.string({ unit: 'grapheme' }).map((value) => Buffer.from(value).toString('base64')),
        fc.string({ unit: fc.constantFrom(...'abc.=-_ ,:"\\{}\u00e4') }),
      );
      const property = fc.asyncProperty(
        fc.constantFrom('/secure', '/login'),
        scheme,
        text,
        async (path, word, value) => {
          const answer = await app.rawRequest('GET', path, [`Authorization: ${word}${value}`]);
          expectUnauthorized(answer, answer.headers['www-authenticate'] ?? '');
        },
      );
      await fc.assert(property, { numRuns: 60 });
    });

    it.each(['/', '/login', '/secure'])('GET %s answers 400 to two Authorization headers', async (path) => {
      const lines = [`Authorization: ${basic('user', 'password')}`, `authorization: ${await suite.bearer()}`];
      const answer = await app.rawRequest('GET', path, lines);
      expectProblem(answer, 400);
      expect(answer.headers).toHaveProperty('x-request-id');
    });

    it('GET /secure answers 200 whatever the Connection header names', async () => {
      const authorization = `Authorization: ${await suite.bearer()}`;
      const answers = await app.raw(
        `GET /secure HTTP/1.1\r\nHost: ${app.host}\r\nConnection: close, authorization, x-request-id\r\n${authorization}\r\n\r\n`,
      );
      expect(answers.map(({ status }) => status)).toEqual([200]);
    });

    it.each(['a', 'A.b_c-9', 'x'.repeat(64)])('GET / takes over the request id %s', async (id) => {
      expect((await app.send('GET', '/', { headers: { 'x-request-id': id } })).headers['x-request-id']).toBe(id);
    });

    it.each(['', 'x'.repeat(65), 'a b', 'a"b', 'a,b', 'a/b', 'ä', '$(id)', '{}'])(
      'GET / makes a request id in place of the malformed %j',
      async (id) => {
        const answer = await app.rawRequest('GET', '/', [`X-Request-Id: ${id}`]);
        expect(answer.status).toBe(200);
        expect(answer.headers['x-request-id']).toMatch(/^[A-Za-z0-9._-]{1,64}$/);
      },
    );

    it('GET / makes a request id in place of two of them', async () => {
      const answer = await app.rawRequest('GET', '/', ['X-Request-Id: one', 'X-Request-Id: two']);
      expect(answer.headers['x-request-id']).toMatch(/^[A-Za-z0-9._-]{10,64}$/);
    });

    it('GET / makes another request id each time', async () => {
      const ids = await Promise.all(Array.from({ length: 20 }, () => app.send('GET', '/')));
      expect(new Set(ids.map((answer) => answer.headers['x-request-id'])).size).toBe(20);
    });

    it.each([
      ['GET', '/secure', 401],
      ['GET', '/login', 401],
      ['GET', '/nope', 404],
      ['PUT', '/', 405],
      ['PUT', '/login', 405],
    ])('%s %s returns the request id with its %i', async (method, path, status) => {
      const answer = await app.send(method, path, { headers: { 'x-request-id': 'given' } });
      expect(answer).toMatchObject({ status, headers: { 'x-request-id': 'given' } });
    });

    it.each([
      ['a body that is too long', '/', 'Content-Length: 5000', 413],
      ['bad percent-encoding', '/%zz', 'Accept: */*', 400],
      ['an unknown expectation', '/', 'Expect: miracles', 417],
    ])('the request id is returned with the answer to %s', async (_case, path, line, status) => {
      const answer = await app.rawRequest('GET', path, ['X-Request-Id: given', line]);
      // nginx reads no header after a request line that is malformed.
      const id = nginx && path === '/%zz' ? expect.any(String) : 'given';
      expect(answer).toMatchObject({ status, headers: { 'x-request-id': id } });
    });
  });

  async function neverFails<T>(
    inputs: fc.Arbitrary<T>,
    send: (input: T) => Promise<{ status: number }[]>,
  ): Promise<void> {
    const property = fc.asyncProperty(inputs, async (input) => {
      const answers = await send(input);
      expect(answers.length).toBeLessThanOrEqual(1);
      for (const { status } of answers) expect(status).toBeLessThan(500);
    });
    await fc.assert(property, { numRuns: 150 });
    expect((await app.send('GET', '/version')).status).toBe(200);
  }
}

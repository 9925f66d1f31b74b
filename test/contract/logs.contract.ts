import { randomUUID } from 'node:crypto';
import { describe, expect } from 'vitest';
import { basic, type Suite } from './suite.ts';
import type { LogLine, ReadableLog } from './target.ts';
import { sign, validClaims, validHeader } from './tokens.ts';

const parse = (line: string): LogLine => {
  const parsed: unknown = JSON.parse(line);
  expect(parsed, line).toMatchObject({ level: expect.any(Number), time: expect.any(Number), msg: expect.any(String) });
  return parsed as LogLine;
};

/** Every line so far, parsed; fails when one of them is not one JSON object. */
const linesOf = (logs: readonly ReadableLog[]) => logs.flatMap((log) => log.lines().map(parse));

export function logsContract(suite: Suite): void {
  const { app } = suite;

  /** The lines of one request, after lines that came later have been seen in every log. */
  async function linesOfRequest(logs: readonly ReadableLog[], id: string): Promise<LogLine[]> {
    await settle(logs);
    return linesOf(logs).filter((line) => line.requestId === id);
  }

  /** Waits until each log shows a request that is sent now, so that it shows all that were sent before. */
  async function settle(logs: readonly ReadableLog[]): Promise<void> {
    const id = randomUUID();
    const headers = { 'x-request-id': id };
    // Several processes of one name take turns: until each had one.
    const shown = async () => {
      await app.send('GET', '/version', { headers });
      await app.send('GET', '/login', { headers });
      return logs.map((log) => log.lines().some((line) => line.includes(id)));
    };
    await expect.poll(shown, { timeout: 10_000 }).toEqual(logs.map(() => true));
  }

  describe('the log', () => {
    suite.itNeeds(
      ['logs'],
      'has one line for each request, with its id, in every process that it passed',
      async ({ logs }) => {
        for (const [method, path, status] of [
          ['GET', '/', 200],
          ['HEAD', '/version', 200],
          ['POST', '/secure', 401],
          ['GET', '/login', 401],
          ['GET', '/nope', 404],
          ['DELETE', '/', 405],
        ] as const) {
          const id = randomUUID();
          await app.send(method, `${path}?secret=query`, { headers: { 'x-request-id': id } });
          const lines = await linesOfRequest(logs, id);
          // A front's, and that of the service that it asked.
          expect(lines.length, `lines of ${method} ${path}`).toBe(logs.length === 1 ? 1 : 2);
          expect(new Set(lines.map((line) => line.name)).size, 'a process wrote twice').toBe(lines.length);
          for (const line of lines) {
            expect(line).toEqual({
              level: 30,
              time: expect.any(Number),
              name: expect.any(String),
              requestId: id,
              method,
              path,
              status,
              durationMs: expect.any(Number),
              // Which of several answered.
              ...(line.name === 'nginx' && { upstream: expect.any(String) }),
              msg: 'request',
            });
          }
        }
      },
    );

    suite.itNeeds(['logs'], 'has the id that the answer has, when the app made it', async ({ logs }) => {
      const answer = await app.send('GET', '/secure', { headers: { 'x-request-id': 'not well-formed' } });
      const lines = await linesOfRequest(logs, answer.headers['x-request-id'] ?? '');
      expect(lines.length).toBe(logs.length === 1 ? 1 : 2);
    });

    suite.itNeeds(['logs'], 'has a line for a client that went away', async ({ logs }) => {
      const id = randomUUID();
      const text = app.text('POST', '/', [`X-Request-Id: ${id}`, 'Content-Length: 10'], 'x');
      await app.raw(text, { afterwards: 'vanish' });
      const statuses = () =>
        linesOf(logs)
          .filter((line) => line.requestId === id)
          .map((line) => line.status);
      // nginx's own word for a body that breaks off is another.
      const status = suite.target.front === 'nginx' ? 400 : 499;
      await expect.poll(statuses, { timeout: 10_000 }).toContain(status);
    });

    suite.itNeeds(['logs', 'health'], 'has a line for each probe', async ({ logs, health }) => {
      for (const endpoint of health) {
        const answer = await suite.health(endpoint).send('GET', '/readiness');
        const id = answer.headers['x-request-id'];
        const line = () => linesOf(logs).find((one) => one.requestId === id);
        await expect
          .poll(line, { timeout: 10_000 })
          .toMatchObject({ name: endpoint.name, path: '/readiness', status: 200 });
      }
    });

    suite.itNeeds(['logs'], 'has a line for a malformed request, and none with an empty method', async ({ logs }) => {
      const count = () =>
        linesOf(logs).filter((line) => line.msg === 'malformed request' && line.status === 400).length;
      const before = count();
      await app.raw('GARBAGE\r\n\r\n');
      await expect.poll(count, { timeout: 10_000 }).toBe(before + 1);
      expect(linesOf(logs).filter((line) => line.method === '' || line.path === '')).toEqual([]);
    });

    suite.itNeeds(['logs'], 'cannot be forged by anything in a request', async ({ logs }) => {
      const forged = '{"level":60,"time":1,"name":"forged","msg":"forged"}';
      const encoded = encodeURIComponent(`\r\n${forged}\r\n`);
      const targets = [
        `/"},{"name":"forged`,
        `/${encoded}`,
        `/\\"${forged}`,
        '/\u2028',
        '/%e2%80%a8%0a',
        '/\x80\xff',
        '/"\\',
      ];
      for (const target of [...targets, `/?${encoded}`, `http://"${forged}"/`, `/${'"'.repeat(3000)}`]) {
        const text = Buffer.from(target).toString('latin1');
        await app.raw(
          app.text('GET', text, [`User-Agent: ${forged}`, `Referer: ${forged}`, `X-Request-Id: ${forged}`]),
        );
        await app.raw(app.text('GET', text, [`X-Forwarded-For: ${forged}`, `Authorization: Bearer ${forged}`]));
      }
      await settle(logs);
      const names = new Set(linesOf(logs).map((line) => line.name));
      expect(names).toEqual(new Set(logs.map((log) => log.name)));
      // What a decoder writes for bytes that are no UTF-8.
      expect(logs.flatMap((log) => log.lines()).join('')).not.toContain('\ufffd');
    });

    suite.itNeeds(['logs'], 'has no token, password, Authorization or query in it', async ({ logs }) => {
      const secret = 'correct-horse-battery-staple';
      const credentials = [
        basic('user', 'password'),
        basic('user', secret),
        basic(secret, 'x'),
        `Bearer ${secret}`,
        secret,
      ];
      const headers = {
        cookie: secret,
        'user-agent': secret,
        'proxy-authorization': secret,
        'content-type': 'text/plain',
      };
      for (const path of ['/', '/login', '/secure', '/version', '/nope']) {
        for (const authorization of credentials) {
          const target = `${path}?access_token=${secret}&password=${secret}`;
          await app.send('POST', target, { headers: { ...headers, authorization }, body: secret });
        }
        await app.raw(app.text('GET', path, [`Authorization: Basic ${secret}`, `Authorization: ${secret}`]));
        await app.raw(app.text('GET', path, [`Authorization: Bearer ${secret}\x01`]));
      }
      await app.send('GET', '/secure', { headers: { authorization: await suite.bearer() } });
      await settle(logs);
      const text = logs.flatMap((log) => log.lines()).join('\n');
      const needles = [secret, ...credentials.map((value) => value.replace('Basic ', '')), await suite.token()];
      for (const needle of needles) expect(text.includes(needle), `the log has ${needle}`).toBe(false);
      expect(text).not.toMatch(/eyJ[\w-]+\.|authorization"|Bearer /i);
    });

    suite.itNeeds(['logs', 'signingKey'], 'has no key and no signed token in it', async ({ logs, signingKey: key }) => {
      const token = sign(key.secret, { ...validHeader(key), crit: ['x'] }, validClaims());
      await app.send('GET', '/secure', { headers: { authorization: `Bearer ${token}` } });
      await settle(logs);
      const text = logs.flatMap((log) => log.lines()).join('\n');
      expect(text.includes(token)).toBe(false);
      expect(text.includes(key.secret)).toBe(false);
    });
  });
}

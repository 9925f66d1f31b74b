import fc from 'fast-check';
import { fastify } from 'fastify';
import { expect, test } from 'vitest';
import { originForm, pathOf, Routes } from './routes.ts';

test.for([
  ['/login?user=a', '/login'],
  ['/login#?a', '/login'],
  ['/a?b#c?d', '/a'],
  ['?', ''],
  ['/login', '/login'],
])('the path of %s is %s', ([target = '', path]) => expect(pathOf(target)).toBe(path));

test.for([
  ['http://host/login?a=b', '/login?a=b'],
  ['HTTPS://host:8080/login', '/login'],
  ['http://user:password@host/login', '/login'],
  ['http://host', '/'],
  ['http://host?a', '/?a'],
  ['http://host//login', '//login'],
  ['*', '*'],
])('%s is %s in origin-form', ([target = '', origin]) => expect(originForm(target)).toBe(origin));

const routes = new Routes();
routes.add({ url: '/login', method: ['GET', 'HEAD'] });
routes.add({ url: '/login', method: 'POST' });
routes.add({ url: '/login', method: 'GET' });
routes.add({ url: '/', method: 'GET' });
routes.add({ url: '/login/status', method: 'GET' });

test('a route has the methods of all its registrations, each once', () => {
  expect(routes.methods('/login')).toEqual(['GET', 'HEAD', 'POST']);
  expect(routes.methods('/unknown')).toEqual([]);
  expect(routes.list()).toEqual(['GET /', 'GET /login', 'GET /login/status', 'HEAD /login', 'POST /login']);
});

test('a wildcard takes what no other route takes', () => {
  const all = new Routes();
  all.add({ url: '*', method: 'GET' });
  all.add({ url: '/login', method: 'GET' });
  expect(['/login', '/other', '/%zz'].map((path) => all.find(path))).toEqual(['/login', '*', '*']);
});

test('a path belongs to a route when the router says so, however it is written', async () => {
  const app = fastify();
  for (const url of ['/login', '/login/status']) app.get(url, () => url);
  const written = (letter: string) => {
    const code = letter.charCodeAt(0).toString(16);
    return fc.constantFrom(letter, letter, `%${code}`, `%${code.toUpperCase()}`);
  };
  const login = fc.tuple(fc.constant('/'), ...[...'login'].map(written)).map((letters) => letters.join(''));
  const tail = fc.constantFrom(
    '',
    '',
    '',
    '/',
    '/status',
    '%2Fstatus',
    '%2f',
    '%2F',
    '%3Fa',
    '%23a',
    '%',
    '%zz',
    '%25',
    '%00',
    ';a',
    '%C3%A9',
  );
  await fc.assert(
    fc.asyncProperty(login, tail, async (start, end) => {
      const { statusCode, body } = await app.inject(start + end);
      expect(routes.find(start + end)).toBe(statusCode === 200 ? body : undefined);
    }),
  );
});

test('no path fails, and none makes a route up', () => {
  const path = fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', '%', '/%c0%ae'));
  fc.assert(fc.property(path, (any) => [undefined, '/', '/login', '/login/status'].includes(routes.find(any))));
});

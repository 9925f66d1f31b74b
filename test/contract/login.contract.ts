import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { basic, expectJson, expectUnauthorized, type Suite } from './suite.ts';

const challenge = 'Basic realm="kubernetes-101", charset="UTF-8"';
const base64 = (text: string | Buffer) => Buffer.from(text).toString('base64');

const refused: Record<string, string | undefined> = {
  'no credentials': undefined,
  'a wrong password': basic('user', 'wrong'),
  'an unknown user': basic('nobody', 'password'),
  'a user named as a property of every object': basic('__proto__', 'password'),
  'a user in other case': basic('User', 'password'),
  'a password in other case': basic('user', 'Password'),
  'an empty user': basic('', 'password'),
  'an empty password': basic('user', ''),
  'a password with a colon': basic('user', 'password:'),
  'a user with a colon': basic('user:password', 'password'),
  'a space after the password': basic('user', 'password '),
  'a UTF-8 password': basic('user', 'pässwörd€'),
  'a password that is no UTF-8': `Basic ${base64(Buffer.from([...Buffer.from('user:pass'), 0xff, 0xfe]))}`,
  'a NUL and more after the password': basic('user', 'password\0password'),
  'a NUL after the user': basic('user\0', 'password'),
  'a newline in the password': basic('user', 'pass\nword'),
  'a control character in the user': basic('us\x7fer', 'password'),
  'a C1 control character in the password': basic('user', 'password\u0085'),
  'a password of 73 bytes': basic('user', 'p'.repeat(73)),
  'a password of 72 bytes and one of them': basic('user', 'password'.repeat(9).concat('x')),
  'a password of 4 KB': basic('user', 'p'.repeat(4000)),
  'no colon': `Basic ${base64('user')}`,
  'nothing in base64': 'Basic ',
  'the scheme alone': 'Basic',
  'no base64': 'Basic user:password',
  'base64 with garbage in it': `Basic ${base64('user:password').replace('z', 'z!*')}`,
  'two credentials': `${basic('user', 'password')}, ${basic('user', 'password')}`,
  'no scheme': base64('user:password'),
  'another scheme': `Digest ${base64('user:password')}`,
  'the scheme Bearer': `Bearer ${base64('user:password')}`,
};

export function loginContract(suite: Suite): void {
  const { app } = suite;
  const login = (authorization: string) => app.send('GET', '/login', { headers: { authorization } });
  const parts = async () => (await suite.token()).split('.').map((part) => Buffer.from(part, 'base64url').toString());

  describe('/login', () => {
    it('GET /login answers 200 with a token', async () => {
      const answer = await login(basic('user', 'password'));
      expect(answer.body).toMatch(/^\{"token":"[\w-]+\.[\w-]+\.[\w-]+"\}\n$/);
      expectJson(answer, answer.body);
      const issued = JSON.parse(Buffer.from(answer.body.split('.')[1] ?? '', 'base64url').toString()).iat;
      expect(Math.abs(issued - Date.parse(answer.headers.date ?? '') / 1000)).toBeLessThan(3);
    });

    it.each(['basic', 'BASIC', 'bASiC'])('GET /login answers 200 to the scheme %s', async (scheme) => {
      expect((await login(basic('user', 'password').replace('Basic', scheme))).status).toBe(200);
    });

    it.each(Object.entries(refused))('GET /login answers 401 to %s', async (_case, authorization) => {
      const headers = authorization === undefined ? {} : { authorization };
      expectUnauthorized(await app.send('GET', '/login', { headers }), challenge);
    });

    it('GET /login answers 401 to credentials in the query, a body or a cookie', async () => {
      const answer = await app.send('POST', '/login?user=user&password=password', {
        headers: { 'content-type': 'application/json', cookie: 'user=user; password=password' },
        body: '{"user":"user","password":"password"}',
      });
      expectUnauthorized(answer, challenge);
    });

    it.each(['HEAD', 'POST'])('%s /login answers 401 to a wrong password', async (method) => {
      const answer = await app.send(method, '/login', { headers: { authorization: basic('user', 'wrong') } });
      expect(answer).toMatchObject({ status: 401, headers: { 'www-authenticate': challenge, 'content-length': '21' } });
    });

    it('GET /login makes a token with exactly these header members and claims', async () => {
      const [header, claims] = (await parts()).slice(0, 2).map((part) => JSON.parse(part));
      expect(header).toEqual({ alg: 'HS256', typ: 'JWT', kid: expect.stringMatching(/^[\w.-]+$/) });
      expect(claims).toEqual({
        iss: 'auth.service',
        sub: 'user',
        email: 'user@example.com',
        iat: expect.any(Number),
        exp: claims.iat + 3600,
      });
    });

    suite.itNeeds(
      ['signingKey'],
      'GET /login signs with the key named by `signer`',
      async ({ signingKey: { kid, secret } }) => {
        const [header = '', claims = '', signature] = (await suite.token()).split('.');
        expect(JSON.parse(Buffer.from(header, 'base64url').toString()).kid).toBe(kid);
        expect(signature).toBe(createHmac('sha256', secret).update(`${header}.${claims}`).digest('base64url'));
      },
    );
  });
}

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { basic, expectJson, expectUnauthorized, type Suite } from './suite.ts';
import { forgedTokens, sign, validClaims, validHeader } from './tokens.ts';

const noToken = 'Bearer realm="kubernetes-101"';
const badToken = 'Bearer realm="kubernetes-101", error="invalid_token"';

export function secureContract(suite: Suite): void {
  const { app } = suite;
  const secure = (authorization: string, method = 'GET') => app.send(method, '/secure', { headers: { authorization } });

  describe('/secure', () => {
    it('GET /secure answers 200 to a token from /login', async () => {
      expectJson(await secure(await suite.bearer()), '{"message":"Hello"}\n');
    });

    it('GET /secure answers 200 to the same token again', async () => {
      expectJson(await secure(await suite.bearer()), '{"message":"Hello"}\n');
    });

    it.each(['bearer', 'BEARER', 'bEArEr'])('GET /secure answers 200 to the scheme %s', async (scheme) => {
      expect((await secure(`${scheme} ${await suite.token()}`)).status).toBe(200);
    });

    it('GET /secure answers 401 without a token', async () => {
      expectUnauthorized(await app.send('GET', '/secure'), noToken);
    });

    it.each([
      ['the scheme alone', 'Bearer'],
      ['another scheme', basic('user', 'password')],
      ['a scheme that begins like it', 'BearerX abc'],
    ])('GET /secure answers 401, without an error, to %s', async (_case, authorization) => {
      expectUnauthorized(await secure(authorization), noToken);
    });

    it('GET /secure answers 401 to a token without a scheme, or of another one', async () => {
      const token = await suite.token();
      expectUnauthorized(await secure(token), noToken);
      expectUnauthorized(await secure(`Basic ${token}`), noToken);
    });

    it('GET /secure answers 401 to a token in the query, a body or a cookie', async () => {
      const token = await suite.token();
      const answer = await app.send('POST', `/secure?access_token=${token}`, {
        headers: { 'content-type': 'application/x-www-form-urlencoded', cookie: `access_token=${token}` },
        body: `access_token=${token}`,
      });
      expectUnauthorized(answer, noToken);
    });

    it.each(['garbage', 'a.b.c', '{}', 'null', 'a b', 'a\u00a0b'])(
      'GET /secure answers 401 to a token that is none: %j',
      async (token) => {
        expectUnauthorized(await secure(`Bearer ${token}`), badToken);
      },
    );

    it('GET /secure answers 401 to a token of 6 KB', async () => {
      expectUnauthorized(await secure(`Bearer ${'a'.repeat(6000)}.b.c`), badToken);
    });

    it.each(['HEAD', 'POST'])('%s /secure answers 401 to a bad token', async (method) => {
      const answer = await secure('Bearer a.b.c', method);
      expect(answer).toMatchObject({ status: 401, headers: { 'www-authenticate': badToken, 'content-length': '21' } });
    });

    it('GET /secure answers 401 when any byte of the token is another', async () => {
      const token = await suite.token();
      const visible = fc.oneof(fc.integer({ min: 0x21, max: 0x7e }), fc.integer({ min: 0x80, max: 0xff }));
      const changes = fc.tuple(
        fc.nat({ max: token.length - 1 }),
        visible.map((byte) => String.fromCharCode(byte)),
      );
      await refusesAll(
        changes
          .filter(([at, character]) => token[at] !== character)
          .map(([at, character]) => token.slice(0, at) + character + token.slice(at + 1)),
      );
    });

    it('GET /secure answers 401 when only unused bits of the last character are others', async () => {
      const token = await suite.token();
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
      const others = [...alphabet].filter((character) => character !== token.at(-1));
      for (const last of others) expectUnauthorized(await secure(`Bearer ${token.slice(0, -1)}${last}`), badToken);
    });

    it('GET /secure answers 401 when the token is cut, or longer', async () => {
      const token = await suite.token();
      const place = fc.nat({ max: token.length - 1 });
      const visible = fc.integer({ min: 0x21, max: 0x7e }).map((byte) => String.fromCharCode(byte));
      const cut = place.filter((at) => at > 0).map((at) => token.slice(0, at));
      const longer = fc
        .tuple(place, visible)
        .map(([at, character]) => token.slice(0, at) + character + token.slice(at));
      await refusesAll(fc.oneof(cut, longer));
    });

    suite.itNeeds(
      ['signingKey'],
      'GET /secure answers 200 to a token that the test signs',
      async ({ signingKey: key }) => {
        expectJson(
          await secure(`Bearer ${sign(key.secret, validHeader(key), validClaims())}`),
          '{"message":"Hello"}\n',
        );
      },
    );

    // The key is known only when the target runs: any will do to name the cases.
    for (const name of Object.keys(forgedTokens({ kid: '', secret: '' }))) {
      suite.itNeeds(['signingKey'], `GET /secure answers 401 to a token with ${name}`, async ({ signingKey: key }) => {
        const token = forgedTokens(key)[name] ?? '';
        expectUnauthorized(await secure(`Bearer ${token}`), badToken);
      });
    }
  });

  async function refusesAll(tokens: fc.Arbitrary<string>): Promise<void> {
    const property = fc.asyncProperty(tokens, async (token) => {
      const answer = await app.rawRequest('GET', '/secure', [`Authorization: Bearer ${token}`]);
      expectUnauthorized(answer, badToken);
      expect(answer.headers['cache-control']).toBe('no-store');
    });
    await fc.assert(property, { numRuns: 150 });
  }
}

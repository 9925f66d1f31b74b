import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { KeySet } from './keys.ts';
import { Tokens } from './tokens.ts';

const key = createSecretKey(randomBytes(32));
const set: KeySet = { signer: 'key-1', keys: new Map([['key-1', key]]) };
const fresh = () => new Tokens(() => set);
const user = { name: 'user', email: 'user@example.com' };
const now = () => Math.floor(Date.now() / 1000);

const goodHeader = { alg: 'HS256', typ: 'JWT', kid: 'key-1' };
const goodClaims = (at = now()) => ({
  email: user.email,
  iat: at,
  exp: at + 3600,
  iss: 'auth.service',
  sub: user.name,
});

/** A token as anyone who has the key could make it; a text stands for itself where JSON.stringify would not write it. */
function forge(header: unknown, payload: unknown, { secret = key, hash = 'sha256' } = {}): string {
  const part = (value: unknown) =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const signed = `${part(header)}.${part(payload)}`;
  return `${signed}.${createHmac(hash, secret).update(signed).digest('base64url')}`;
}

function refused(token: string): void {
  expect(fresh().verify(token)).toBeUndefined();
}

test('a token has the header and the claims of the original, and verifies', () => {
  const token = fresh().sign(user, 3600) as string;
  const [header, payload] = token.split('.').map((part) => Buffer.from(part, 'base64url').toString());
  expect(JSON.parse(header as string)).toEqual(goodHeader);
  const claims = JSON.parse(payload as string);
  expect(claims).toEqual({ ...goodClaims(claims.iat), iat: expect.any(Number) });
  const { iss: _, ...ours } = claims;
  expect(fresh().verify(token)).toEqual(ours);
});

test('whoever a token is for, it verifies', () => {
  const anyText = fc.string({ minLength: 1, unit: fc.nat(0xffff).map((unit) => String.fromCharCode(unit)) });
  fc.assert(
    fc.property(fc.oneof(anyText, fc.string({ minLength: 1, unit: 'grapheme' })), (name) => {
      const token = fresh().sign({ name, email: `${name}@example.com` }, 60) as string;
      expect(fresh().verify(token)).toMatchObject({ sub: name, email: `${name}@example.com` });
    }),
  );
});

test('without keys nothing is signed or verified', () => {
  const tokens = new Tokens(() => undefined);
  expect([tokens.ready, tokens.sign(user, 60), tokens.verify(forge(goodHeader, goodClaims()))]).toEqual([
    false,
    undefined,
    undefined,
  ]);
});

describe('what is signed with the right key', () => {
  test('verifies when it is all that a token has to be', () => {
    const at = now();
    for (const claims of [
      goodClaims(),
      { ...goodClaims(), iat: at + 4 },
      { ...goodClaims(), exp: at + 72 * 3600, iat: at },
      { ...goodClaims(), nbf: at - 60, role: 'reader' },
    ])
      expect(fresh().verify(forge(goodHeader, claims))).toBeDefined();
  });

  test.for<[string, object]>([
    ['alg none', { alg: 'none' }],
    ['alg of another case', { alg: 'hs256' }],
    ['another alg', { alg: 'HS512' }],
    ['an asymmetric alg', { alg: 'RS256' }],
    ['no alg', { alg: undefined }],
    ['an alg that is a list', { alg: ['HS256'] }],
    ['no typ', { typ: undefined }],
    ['another typ', { typ: 'at+jwt' }],
    ['a typ of another case', { typ: 'jwt' }],
    ['crit', { crit: ['exp'] }],
    ['an empty crit', { crit: [] }],
    ['no kid', { kid: undefined }],
    ['an unknown kid', { kid: 'key-2' }],
    ['an empty kid', { kid: '' }],
    ['a kid that is a path', { kid: '../keys/key-1' }],
    ['a kid that is a path to here', { kid: './key-1' }],
    ['the kid __proto__', { kid: '__proto__' }],
    ['the kid constructor', { kid: 'constructor' }],
    ['a kid that is a list', { kid: ['key-1'] }],
    ['a kid that is an object', { kid: { toString: 'key-1' } }],
  ])('is refused with %s in its header', ([, header]) => refused(forge({ ...goodHeader, ...header }, goodClaims())));

  test.for<[string, (at: number) => object]>([
    ['no exp', () => ({ exp: undefined })],
    ['an exp that is past', (at) => ({ iat: at - 60, exp: at })],
    ['an exp that is a text', (at) => ({ exp: String(at + 60) })],
    ['an exp that is no whole number', (at) => ({ exp: at + 60.5 })],
    ['an exp in milliseconds', (at) => ({ exp: (at + 60) * 1000 })],
    ['an exp that JSON cannot hold', () => ({ exp: Number.POSITIVE_INFINITY })],
    ['an exp before iat', (at) => ({ iat: at + 4, exp: at + 3 })],
    ['a life of more than 72 hours', (at) => ({ exp: at + 72 * 3600 + 1 })],
    ['no iat', () => ({ iat: undefined })],
    ['an iat in the future', (at) => ({ iat: at + 10 })],
    ['an iat that is a text', (at) => ({ iat: String(at) })],
    ['an iat that is no whole number', (at) => ({ iat: at - 0.5 })],
    ['an nbf in the future', (at) => ({ nbf: at + 60 })],
    ['no sub', () => ({ sub: undefined })],
    ['an empty sub', () => ({ sub: '' })],
    ['a sub that is an object', () => ({ sub: { name: 'user' } })],
    ['a sub that is a number', () => ({ sub: 1 })],
    ['no email', () => ({ email: undefined })],
    ['no iss', () => ({ iss: undefined })],
    ['another iss', () => ({ iss: 'auth.service2' })],
    ['an iss that is a list', () => ({ iss: ['auth.service'] })],
  ])('is refused with %s', ([, claims]) => {
    const at = now();
    refused(forge(goodHeader, { ...goodClaims(at), ...claims(at) }));
  });

  test.for<[string, (header: string, claims: string) => [string, string]]>([
    ['an exp of 1e400', (header, claims) => [header, claims.replace(/"exp":\d+/, '"exp":1e400')]],
    ['a claim that stands twice', (header, claims) => [header, claims.replace('{', '{"sub":"admin",')]],
    ['a kid that stands twice', (header, claims) => [header.replace('{', '{"kid":"key-2",'), claims]],
    ['blanks', (header, claims) => [header, claims.replace('{', '{ ')]],
    ['escapes that JSON does not need', (header, claims) => [header, claims.replace('"user"', '"\\u0075ser"')]],
    ['a byte order mark', (header, claims) => [header, `\uFEFF${claims}`]],
    ['a list for claims', (header, claims) => [header, `[${claims}]`]],
    ['no claims', (header) => [header, 'null']],
    ['a text for claims', (header, claims) => [header, JSON.stringify(claims)]],
    ['half of its claims', (header, claims) => [header, claims.slice(0, 20)]],
    ['a list for a header', (header, claims) => [`[${header}]`, claims]],
    ['nothing at all', () => ['', '']],
  ])('is refused with %s', ([, spoil]) => {
    refused(forge(...spoil(JSON.stringify(goodHeader), JSON.stringify(goodClaims()))));
  });

  test('is refused when it is longer than 4 KiB', () => {
    const sized = (length: number) => forge(goodHeader, { ...goodClaims(), sub: 'a'.repeat(length) });
    expect(fresh().verify(sized(2800))).toBeDefined();
    for (const length of [3000, 1_000_000]) refused(sized(length));
  });

  test('is refused or verified with sound claims, and never fails, whatever it holds', () => {
    const claim = fc.constantFrom('sub', 'email', 'iat', 'exp', 'iss', 'nbf', 'aud', '__proto__');
    const field = fc.constantFrom('alg', 'typ', 'kid', 'crit', 'b64', 'jwk', 'jku', '__proto__');
    const check = (token: string) => {
      const claims = fresh().verify(token);
      if (claims === undefined) return;
      const { sub, email, iat, exp } = claims;
      expect([typeof sub, typeof email, exp > now(), exp - iat <= 72 * 3600]).toEqual(['string', 'string', true, true]);
    };
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), claim, field, (any, other, name, member) => {
        check(forge(goodHeader, any));
        check(forge(any, goodClaims()));
        check(forge({ ...goodHeader, [member]: other }, { ...goodClaims(), [name]: any }));
      }),
    );
  });
});

describe('what is not signed with the right key', () => {
  test('is refused', () => {
    const good = forge(goodHeader, goodClaims());
    const [header, payload, signature] = good.split('.') as [string, string, string];
    for (const token of [
      forge(goodHeader, goodClaims(), { secret: createSecretKey(randomBytes(32)) }),
      forge(goodHeader, goodClaims(), { secret: createSecretKey(Buffer.from('key-1')) }),
      forge({ ...goodHeader, alg: 'HS512' }, goodClaims(), { hash: 'sha512' }),
      `${forge({ ...goodHeader, alg: 'none' }, goodClaims())
        .split('.', 2)
        .join('.')}.`,
      `${header}.${payload}.`,
      `${header}.${payload}`,
      `${header}..${signature}`,
      `.${payload}.${signature}`,
      `${good}.`,
      `${good}.${signature}`,
      `${good}=`,
      `${good}\n`,
      ` ${good}`,
      `${header}=.${payload}.${signature}`,
      `${header}.${payload}.${Buffer.from(signature, 'base64url').toString('base64')}`,
      '',
      '.',
      '..',
      '...',
    ])
      refused(token);
  });

  test('is refused when any character of a good token becomes any other, or is lost or doubled', () => {
    const tokens = fresh();
    const good = tokens.sign(user, 60) as string;
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \n\0é';
    for (const [at, character] of [...good].entries()) {
      const [before, after] = [good.slice(0, at), good.slice(at + 1)];
      const accepted = ['', character + character, ...alphabet]
        .filter((other) => other !== character)
        .filter((other) => tokens.verify(before + other + after) !== undefined);
      expect(accepted, `in place of ${character} at ${at}`).toEqual([]);
    }
    expect(tokens.verify(good)).toBeDefined();
  });

  test('is refused, and never fails, whatever text it is', () => {
    const part = fc.oneof(
      fc.string(),
      fc.base64String(),
      fc.json().map((text) => Buffer.from(text).toString('base64url')),
    );
    const token = fc.oneof(
      fc.string({ unit: 'binary-ascii' }),
      fc.array(part).map((parts) => parts.join('.')),
    );
    fc.assert(fc.property(token, refused));
  });
});

describe('a token that was verified before', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
  });

  test('is not verified again, and refused once it has expired', () => {
    const tokens = fresh();
    const token = tokens.sign(user, 60) as string;
    const { exp } = tokens.verify(token) ?? { exp: 0 };
    expect([tokens.cached, tokens.cacheMisses, tokens.cacheHits]).toEqual([1, 1, 0]);
    vi.setSystemTime(exp * 1000 - 1);
    expect(tokens.verify(token)).toBeDefined();
    expect([tokens.cacheMisses, tokens.cacheHits]).toEqual([1, 1]);
    vi.setSystemTime(exp * 1000);
    expect(tokens.verify(token)).toBeUndefined();
  });

  test('is verified again after forget', () => {
    let current: KeySet = set;
    const tokens = new Tokens(() => current);
    const token = tokens.sign(user, 60) as string;
    tokens.verify(token);
    current = { signer: 'key-1', keys: new Map([['key-1', createSecretKey(randomBytes(32))]]) };
    tokens.forget();
    expect(tokens.cached).toBe(0);
    expect(tokens.verify(token)).toBeUndefined();
  });

  test('is one of 4096 at most, and none of them was refused', () => {
    const tokens = fresh();
    for (let number = 0; number < 4100; number += 1) tokens.verify(forge(goodHeader, { ...goodClaims(), number }));
    expect(tokens.cached).toBe(4096);
    tokens.forget();
    tokens.verify(forge(goodHeader, { ...goodClaims(), iss: 'other' }));
    expect(tokens.cached).toBe(0);
  });
});

test('keys rotate in three phases, pod by pod, without a valid token refused, and the old key is then worth nothing', () => {
  const next = createSecretKey(randomBytes(32));
  const phase = (signer: string, ...keys: [string, KeyObject][]): KeySet => ({ signer, keys: new Map(keys) });
  const phases = [
    set,
    phase('key-1', ['key-1', key], ['key-2', next]),
    phase('key-2', ['key-1', key], ['key-2', next]),
    phase('key-2', ['key-2', next]),
  ];
  const at = [0, 0];
  const pods = at.map((_, pod) => new Tokens(() => phases[at[pod] as number]));
  const [first, second] = pods as [Tokens, Tokens];
  const old = first.sign(user, 60) as string;

  for (let step = 1; step < phases.length; step += 1) {
    for (const [pod, tokens] of pods.entries()) {
      const earlier = pods.map((each) => each.sign(user, 60) as string);
      at[pod] = step;
      tokens.forget();
      for (const token of [
        ...(step < 3 ? [old, ...earlier] : []),
        ...pods.map((each) => each.sign(user, 60) as string),
      ])
        expect(pods.map((each) => each.verify(token)?.sub)).toEqual(['user', 'user']);
    }
  }
  expect([first.verify(old), second.verify(old)]).toEqual([undefined, undefined]);
});

test('a lifetime need not be in whole seconds', () => {
  expect(fresh().verify(fresh().sign(user, 1.5) as string)).toBeDefined();
});

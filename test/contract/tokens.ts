import { createHmac } from 'node:crypto';
import type { SigningKey } from './target.ts';

/** JSON as an object, or as text where a serialiser would not write what the test needs. */
export type Json = object | string | null;

const base64url = (json: Json) =>
  Buffer.from(typeof json === 'string' ? json : JSON.stringify(json)).toString('base64url');

const digests: Record<string, string> = { HS384: 'sha384', HS512: 'sha512' };

/** Signs as the named algorithm says when it is an HMAC, with HMAC-SHA-256 when it is anything else. */
export function sign(secret: string, header: Json, claims: Json): string {
  const text = `${base64url(header)}.${base64url(claims)}`;
  const alg = (header as { alg?: string } | null)?.alg ?? '';
  return `${text}.${createHmac(digests[alg] ?? 'sha256', secret)
    .update(text)
    .digest('base64url')}`;
}

export const validHeader = ({ kid }: SigningKey) => ({ alg: 'HS256', typ: 'JWT', kid });

export function validClaims() {
  const iat = Math.floor(Date.now() / 1000);
  return { iss: 'auth.service', sub: 'user', email: 'user@example.com', iat, exp: iat + 600 };
}

/** Tokens that must be refused although their signature is right, or because it is not. */
export function forgedTokens(key: SigningKey): Record<string, string> {
  const header = validHeader(key);
  const claims = validClaims();
  const { iss: _iss, ...noIssuer } = claims;
  const { sub: _sub, ...noSubject } = claims;
  const { iat: _iat, ...noIssuedAt } = claims;
  const { exp: _exp, ...noExpiry } = claims;
  const now = claims.iat;
  const signed = (changedHeader: object, changedClaims: object = {}) =>
    sign(key.secret, { ...header, ...changedHeader }, { ...claims, ...changedClaims });
  const withClaims = (json: Json) => sign(key.secret, header, json);
  /** Members in front of the closing brace, as text: JSON.stringify writes neither 1e400 nor a name twice. */
  const appended = (json: object, members: string) => JSON.stringify(json).replace(/\}$/, `,${members}}`);
  const valid = signed({});
  const [first = '', second = '', third = ''] = valid.split('.');
  const other = { kid: key.kid, secret: 'another key, just as long as it has to be' };

  return {
    'alg none, unsigned': `${base64url({ ...header, alg: 'none' })}.${second}.`,
    'alg none, signed': signed({ alg: 'none' }),
    'alg nOnE': `${base64url({ ...header, alg: 'nOnE' })}.${second}.`,
    'alg HS384': signed({ alg: 'HS384' }),
    'alg HS512': signed({ alg: 'HS512' }),
    'alg RS256': signed({ alg: 'RS256' }),
    'alg hs256': signed({ alg: 'hs256' }),
    'alg in an array': signed({ alg: ['HS256'] }),
    'no alg': signed({ alg: undefined }),
    'another key': sign(other.secret, header, claims),
    'another key in a jwk member': sign(
      other.secret,
      { ...header, jwk: { kty: 'oct', k: base64url(other.secret) } },
      claims,
    ),
    'an empty key': sign('\0', header, claims),
    'no issuer': withClaims(noIssuer),
    'another issuer': signed({}, { iss: 'auth.service.evil' }),
    'an issuer in an array': signed({}, { iss: ['auth.service'] }),
    'no exp': withClaims(noExpiry),
    'exp null': signed({}, { exp: null }),
    'exp as text': signed({}, { exp: String(claims.exp) }),
    'exp with a fraction': signed({}, { exp: claims.exp + 0.5 }),
    'exp 1e400': withClaims(appended(noExpiry, '"exp":1e400')),
    'exp negative': signed({}, { exp: -claims.exp }),
    'exp 10 s ago': signed({}, { iat: now - 100, exp: now - 10 }),
    'exp in ten years': signed({}, { exp: now + 315_360_000 }),
    'exp before iat': signed({}, { iat: now, exp: now - 1 }),
    'no iat': withClaims(noIssuedAt),
    'iat as text': signed({}, { iat: String(now) }),
    'iat with a fraction': signed({}, { iat: now - 0.5 }),
    'iat in a minute': signed({}, { iat: now + 60, exp: now + 660 }),
    'nbf in a minute': signed({}, { nbf: now + 60 }),
    'no sub': withClaims(noSubject),
    'sub an object': signed({}, { sub: { toString: 'user' } }),
    'sub a number': signed({}, { sub: 1 }),
    'sub null': signed({}, { sub: null }),
    'typ of another kind': signed({ typ: 'at+jwt' }),
    'typ an object': signed({ typ: {} }),
    'crit with an unknown extension': signed({ crit: ['exp2'], exp2: 1 }),
    'crit empty': signed({ crit: [] }),
    'crit b64': signed({ crit: ['b64'], b64: false }),
    'sub twice': withClaims(appended(claims, '"sub":"admin"')),
    'exp twice': withClaims(appended(claims, `"exp":${now + 500}`)),
    'sub twice, once escaped': withClaims(appended(claims, '"\\u0073ub":"admin"')),
    'alg twice': sign(key.secret, appended(header, '"alg":"HS256"'), claims),
    'more than 4 KB': signed({}, { padding: 'x'.repeat(4000) }),
    'no kid': signed({ kid: undefined }),
    'kid null': signed({ kid: null }),
    'kid an object': signed({ kid: { [key.kid]: true } }),
    'kid in an array': signed({ kid: [key.kid] }),
    'kid empty': signed({ kid: '' }),
    'kid unknown': signed({ kid: 'unknown' }),
    'kid of the directory': signed({ kid: '.' }),
    'kid with a path to the key': signed({ kid: `./${key.kid}` }),
    'kid with a path out of the directory': signed({ kid: `../${key.kid}` }),
    'kid of a known file': sign('', { ...header, kid: '../../../../../../dev/null' }, claims),
    'kid of the signer file': sign(key.kid, { ...header, kid: 'signer' }, claims),
    'kid a property of every object': sign('undefined', { ...header, kid: '__proto__' }, claims),
    'kid constructor': sign('undefined', { ...header, kid: 'constructor' }, claims),
    'claims that are an array': withClaims([claims]),
    'claims that are text': withClaims('"user"'),
    'claims that are null': withClaims(null),
    'claims that are no JSON': withClaims('{'),
    'claims with a byte order mark': withClaims(`\uFEFF${JSON.stringify(claims)}`),
    'a header that is no JSON': sign(key.secret, '{', claims),
    'a header that is null': sign(key.secret, null, claims),
    'a header that is an array': sign(key.secret, [header], claims),
    'no signature': `${first}.${second}.`,
    'two parts': `${first}.${second}`,
    'four parts': `${valid}.`,
    'five parts': `${first}.${first}.${first}.${second}.${third}`,
    'an empty first part': `.${second}.${third}`,
    'empty parts': '..',
    'a padded signature': `${valid}=`,
    'two tokens': `${valid},${valid}`,
    quotes: `"${valid}"`,
  };
}

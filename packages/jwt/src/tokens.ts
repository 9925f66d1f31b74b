import jsonwebtoken from 'jsonwebtoken';
import { LRUCache } from 'lru-cache';
import type { KeySet } from './keys.ts';

const ISSUER = 'auth.service';
const ALGORITHM = 'HS256';
/** Characters; ours have about 300. */
const LONGEST_TOKEN = 4096;
/** Seconds. No token may live longer than the original's 72 hours, whoever signed it. */
export const LONGEST_LIFETIME = 72 * 3600;
/** Seconds that the clocks of two machines may be apart. */
const SKEW = 5;
const CACHED_TOKENS = 4096;

export interface Claims {
  sub: string;
  email: string;
  iat: number;
  exp: number;
}

const now = () => Date.now() / 1000;

/** Signs and verifies tokens with whatever keys are current. */
export class Tokens {
  cacheHits = 0;
  cacheMisses = 0;
  readonly #keys: () => KeySet | undefined;
  // The signature costs more than the rest of a request, so a token is verified once; only its expiry is looked at again.
  readonly #verified = new LRUCache<string, Claims>({ max: CACHED_TOKENS });

  constructor(keys: () => KeySet | undefined) {
    this.#keys = keys;
  }

  /** False while there are no keys. */
  get ready(): boolean {
    return this.#keys() !== undefined;
  }

  get cached(): number {
    return this.#verified.size;
  }

  /** To be called when keys change: what was verified with a key that is gone is valid no more. */
  forget(): void {
    this.#verified.clear();
  }

  /** @param lifetime seconds @returns undefined while there are no keys */
  sign(user: { name: string; email: string }, lifetime: number): string | undefined {
    const set = this.#keys();
    const key = set?.keys.get(set.signer);
    if (set === undefined || key === undefined) return undefined;
    return jsonwebtoken.sign({ email: user.email }, key, {
      algorithm: ALGORITHM,
      keyid: set.signer,
      issuer: ISSUER,
      subject: user.name,
      expiresIn: Math.floor(lifetime),
    });
  }

  /** The claims of a valid token; undefined for any other. */
  verify(token: string): Claims | undefined {
    const cached = this.#verified.get(token);
    if (cached !== undefined) {
      this.cacheHits += 1;
      return cached.exp > now() ? cached : undefined;
    }
    this.cacheMisses += 1;
    const claims = this.#check(token);
    if (claims !== undefined) this.#verified.set(token, claims);
    return claims;
  }

  #check(token: string): Claims | undefined {
    if (token.length > LONGEST_TOKEN) return undefined;
    const parts = token.split('.');
    const header = decodePart(parts[0] ?? '');
    const payload = decodePart(parts[1] ?? '');
    if (parts.length !== 3 || header === undefined || payload === undefined) return undefined;
    // An allow-list look-up, never a path. jsonwebtoken minds neither `typ` nor `crit` (RFC 7515 §4.1.9, §4.1.11).
    const key = typeof header.kid === 'string' ? this.#keys()?.keys.get(header.kid) : undefined;
    if (key === undefined || header.typ !== 'JWT' || 'crit' in header) return undefined;
    try {
      jsonwebtoken.verify(token, key, { algorithms: [ALGORITHM], issuer: ISSUER });
    } catch {
      return undefined;
    }
    return checkClaims(payload);
  }
}

/** What jsonwebtoken lets through: claims that are missing, of another type, or not sane together. */
function checkClaims({ sub, email, iat, exp }: Record<string, unknown>): Claims | undefined {
  if (typeof sub !== 'string' || sub === '' || typeof email !== 'string') return undefined;
  if (!Number.isSafeInteger(iat) || !Number.isSafeInteger(exp)) return undefined;
  const claims = { sub, email, iat: iat as number, exp: exp as number };
  const lifetime = claims.exp - claims.iat;
  const valid = claims.iat <= now() + SKEW && claims.exp > now() && lifetime > 0 && lifetime <= LONGEST_LIFETIME;
  return valid ? claims : undefined;
}

/**
 * The JSON object in a part of a token, written exactly as JSON.stringify and base64url would write it.
 *
 * Our signer writes no other, and this refuses at one stroke names that stand twice, `1e400`, and bits that base64url
 * ignores (RFC 8725 §2.4).
 */
function decodePart(part: string): Record<string, unknown> | undefined {
  try {
    const text = Buffer.from(part, 'base64url').toString();
    const value = JSON.parse(text);
    const canonical = Buffer.from(JSON.stringify(value)).toString('base64url') === part;
    return canonical && typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

import { randomBytes } from 'node:crypto';
import { type Entry, FileProblem, type Files } from './file-set.ts';

/** HS256 wants a key of no fewer bytes than its hash has (RFC 7518, 3.2). */
const keyBytes = 32;
// As the services take it: a name with a leading dot is no key.
const kidPattern = /^(?!\.|signer$)[A-Za-z0-9._-]{1,64}$/;

/** A new HS256 key as text: 32 random bytes in base64url. */
export function makeJwtKey(): string {
  return randomBytes(keyBytes).toString('base64url');
}

/**
 * The JWT keys `keys/<kid>`, then `keys/signer`, which holds the kid that signs, in the order in which to write them.
 * Made where missing or empty: the key that the signer names, or the signer that names the only key, or both.
 *
 * @throws {FileProblem} for a key that is too short, and where only a person knows which key is to sign.
 */
export function completeJwtKeys(found: Files): Entry[] {
  const path = 'keys/signer';
  const kids = [...found.keys()]
    .flatMap((name) => /^keys\/(.+)/.exec(name)?.[1] ?? [])
    .filter((kid) => kidPattern.test(kid));
  const named = found.get(path)?.trim();
  if (!named && kids.length > 1) {
    throw new FileProblem(path, `has to say which key signs: write one of these names into it: ${kids.join(', ')}`);
  }
  const signer = named || (kids[0] ?? 'key-1');
  if (!kidPattern.test(signer)) throw new FileProblem(path, 'names no key: write the name of a key file into it');
  return [
    ...[...new Set([...kids, signer])].map((kid) => completeKey(`keys/${kid}`, found.get(`keys/${kid}`))),
    { path, text: signer, why: named ? undefined : reason(named) },
  ];
}

function completeKey(path: string, text: string | undefined): Entry {
  const key = text?.trim();
  if (!key) return { path, text: makeJwtKey(), why: reason(key) };
  const length = Buffer.byteLength(key);
  if (length < keyBytes) throw new FileProblem(path, `holds ${length} bytes, a key needs ${keyBytes}: remove it`);
  return { path, text: key };
}

function reason(text: string | undefined): string {
  return text === undefined ? 'was missing' : 'was empty';
}

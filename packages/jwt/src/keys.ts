import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { readRegularFile } from '@kubernetes-101/service';

/** Keys by their `kid`; `signer` is the kid of the one that signs. All of them verify. */
export interface KeySet {
  signer: string;
  keys: ReadonlyMap<string, KeyObject>;
}

/** Bytes; a key of HS256 must be at least as long as the hash (RFC 7518 §3.2). */
const SHORTEST_KEY = 32;
const LONGEST_FILE = 4096;
const SIGNER = 'signer';
/** The names that a Secret can hold; not editors' copies (`key~`), which would keep a removed key alive, nor `..data`. */
const fileName = /^[\w-][\w.-]*$/;

const single = (kid: string, key: Buffer): KeySet => ({ signer: kid, keys: new Map([[kid, createSecretKey(key)]]) });

/** The one key of the published labs' `-secret`, of any length. */
export const secretKeySet = (secret: string): KeySet => single('secret', Buffer.from(secret));

export const temporaryKeySet = (): KeySet => single('temporary', randomBytes(SHORTEST_KEY));

export const isShort = (secret: string): boolean => Buffer.byteLength(secret) < SHORTEST_KEY;

/**
 * Reads the files of a key directory as one text, as they were at one moment: below the directory that `..data` points
 * to where a Secret is mounted there, which the kubelet swaps as a whole.
 * @throws Error naming the file that cannot be read
 */
export function readKeyDirectory(directory: string): string {
  const data = join(directory, '..data');
  const at = () => (existsSync(data) ? realpathSync(data) : directory);
  for (;;) {
    const root = at();
    try {
      const files = readdirSync(root).filter((name) => fileName.test(name));
      const contents = files.sort().map((name) => [name, readKeyFile(join(root, name))]);
      if (at() === root) return JSON.stringify(contents);
    } catch (error) {
      // Swapped, and the old directory removed, while it was being read.
      if (at() === root) throw error;
    }
  }
}

// Latin-1 keeps every byte. Editors end files with a newline that belongs to no key.
const readKeyFile = (file: string): string =>
  readRegularFile(file, LONGEST_FILE)
    .toString('latin1')
    .replace(/\r?\n$/, '');

/**
 * Makes keys of what `readKeyDirectory` read; undefined when there are no files yet.
 * @throws Error naming the file that is wrong
 */
export function parseKeyDirectory(raw: string): KeySet | undefined {
  const files = new Map<string, string>(JSON.parse(raw));
  if (files.size === 0) return undefined;
  const keys = new Map<string, KeyObject>();
  for (const [kid, content] of files) {
    if (kid === SIGNER) continue;
    const key = Buffer.from(content, 'latin1');
    if (key.length < SHORTEST_KEY)
      throw new Error(`key ${kid} has ${key.length} bytes: HS256 needs at least ${SHORTEST_KEY}`);
    keys.set(kid, createSecretKey(key));
  }
  const signer = files.get(SIGNER)?.trim();
  if (signer === undefined) throw new Error(`there is no file ${SIGNER}: it holds the name of the key that signs`);
  if (!keys.has(signer))
    throw new Error(`${SIGNER} names a key that is not there: the keys are ${[...keys.keys()].join(', ') || 'none'}`);
  return { signer, keys };
}

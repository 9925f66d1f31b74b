import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SigningKey } from '../contract/target.ts';
import { sign, validClaims, validHeader } from '../contract/tokens.ts';
import { temporaryDirectory } from './operations.ts';

export const keyA: SigningKey = { kid: 'a', secret: 'key a, which has to be 32 bytes or longer' };
export const keyB: SigningKey = { kid: 'b', secret: 'key b, which has to be 32 bytes or longer' };

/** The files of a key directory, by name. */
export const keyFiles = (signer: string, ...keys: SigningKey[]): Record<string, string> =>
  Object.fromEntries([['signer', signer], ...keys.map(({ kid, secret }) => [kid, secret])]);

export const tokenOf = (key: SigningKey): string => sign(key.secret, validHeader(key), validClaims());

export const kidOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid;

/** A directory in which the kubelet mounts a Secret: files are links into `..data`, which links to what is current. */
export class SecretMount {
  readonly path: string;
  #names: string[] = [];
  #current: string | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** Replaces all files at once, in the kubelet's order (its AtomicWriter). */
  async write(files: Record<string, string>): Promise<void> {
    const fresh = await mkdtemp(join(this.path, '..2026_01_01_00_00_00.'));
    for (const [name, text] of Object.entries(files)) await writeFile(join(fresh, name), text);
    await symlink(fresh, join(this.path, '..data_tmp'));
    await rename(join(this.path, '..data_tmp'), join(this.path, '..data'));
    const names = Object.keys(files);
    for (const name of names)
      if (!this.#names.includes(name)) await symlink(join('..data', name), join(this.path, name));
    for (const name of this.#names) if (!names.includes(name)) await rm(join(this.path, name));
    if (this.#current !== undefined) await rm(this.#current, { recursive: true });
    this.#current = fresh;
    this.#names = names;
  }
}

/** A Secret that is mounted until the test ends. */
export async function mountSecret(files: Record<string, string>): Promise<SecretMount> {
  const mount = new SecretMount(await temporaryDirectory());
  await mount.write(files);
  return mount;
}

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SigningKey } from '../contract/target.ts';
import { run } from './processes.ts';

/** Certificates and keys in a directory of their own, as `make certs` makes them. */
export interface Materials {
  directory: string;
  /** For `-keys`. */
  keys: string;
  /** For `-tls`. */
  tls: string;
  /** The CA's certificate, PEM. */
  ca: string;
  signingKey: SigningKey;
  remove(): Promise<void>;
}

export async function makeMaterials(): Promise<Materials> {
  const directory = await mkdtemp(join(tmpdir(), 'kubernetes-101-'));
  const { code, stderr } = await run('certgen', ['-out', directory]);
  const remove = () => rm(directory, { recursive: true, force: true });
  if (code !== 0) {
    await remove();
    throw new Error(`certgen exited with ${code}: ${stderr}`);
  }
  const keys = join(directory, 'keys');
  const kid = await readFile(join(keys, 'signer'), 'utf8');
  return {
    directory,
    keys,
    tls: join(directory, 'tls'),
    ca: await readFile(join(directory, 'tls', 'ca.crt'), 'utf8'),
    signingKey: { kid, secret: await readFile(join(keys, kid), 'utf8') },
    remove,
  };
}

import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { sign, validClaims, validHeader } from './contract/tokens.ts';
import { type Materials, makeMaterials } from './drivers/materials.ts';
import {
  bearer,
  begin,
  filledDirectory,
  login,
  readiness,
  refusal,
  send,
  temporaryDirectory,
  until,
} from './helpers/operations.ts';

const secret = 'a secret that is long enough to be a key';
const key = 'a key of 32 bytes or more, for tests only';

let materials: Materials;
beforeAll(async () => {
  materials = await makeMaterials();
  return () => materials.remove();
});

describe('keys', () => {
  const faults: Record<string, [files: Record<string, string>, message: RegExp]> = {
    'a short key': [{ signer: 'a', a: 'too short' }, /key a has 9 bytes: HS256 needs at least 32/],
    'an empty key': [{ signer: 'a', a: '' }, /key a has 0 bytes/],
    'a key as long as a file of another kind': [{ signer: 'a', a: 'x'.repeat(5000) }, /a has 5000 bytes/],
    'no signer': [{ a: key }, /there is no file signer/],
    'a signer that names no key': [{ signer: 'b', a: key }, /signer names a key that is not there: the keys are a$/m],
  };
  test.for(Object.entries(faults))('a key directory with %s: one line, exit 1', async ([, [files, message]]) => {
    const directory = await filledDirectory(files);
    for (const service of ['monolith', 'hello', 'auth'] as const) {
      const line = await refusal(service, ['-keys', directory]);
      expect(line).toMatch(message);
      expect(line).toContain(`-keys ${directory}`);
    }
  });

  test('a key directory that is missing, a file, or holds a directory: one line, exit 1', async () => {
    const directory = await filledDirectory({ signer: 'a' });
    await mkdir(join(directory, 'a'));
    for (const path of [join(directory, 'missing'), join(directory, 'signer'), directory])
      expect(await refusal('hello', ['-keys', path])).toContain(`-keys ${path}`);
  });

  test('an unreadable key: one line, exit 1', async ({ skip }) => {
    const directory = await filledDirectory({ signer: 'a', a: key });
    await chmod(join(directory, 'a'), 0);
    skip(isReadable(join(directory, 'a')), 'this user (root?) reads every file');
    expect(await refusal('hello', ['-keys', directory])).toMatch(/EACCES.*permission denied/);
  });

  test('an empty key directory: runs, is not ready, and becomes ready when keys appear', async () => {
    const keys = await temporaryDirectory();
    const { url, healthUrl } = await begin('monolith', ['-keys', keys]);
    const headers = bearer(sign(key, validHeader({ kid: 'a', secret: key }), validClaims()));
    expect(await readiness(healthUrl)).toBe(503);
    expect(await send(`${healthUrl}/healthz`)).toMatchObject({ status: 200 });
    expect(await send(`${url}/`)).toMatchObject({ status: 200 });
    const { status, headers: told } = await send(`${url}/secure`, { headers });
    expect({ status, told }).toEqual({ status: 503, told: expect.objectContaining({ 'retry-after': '5' }) });
    await expect(login(url)).rejects.toThrow('the login was answered 503');
    await writeFile(join(keys, 'a'), key);
    await writeFile(join(keys, 'signer'), 'a');
    await until('ready', async () => (await readiness(healthUrl)) === 200);
    expect(await send(`${url}/secure`, { headers })).toMatchObject({ status: 200 });
    expect(await send(`${url}/secure`, { headers: bearer(await login(url)) })).toMatchObject({ status: 200 });
  });
});

describe('a pipe, which would never end, in the place of a file: one line, exit 1', () => {
  const cases = [
    ['auth', 'users', (directory: string) => ['-secret', secret, '-users', join(directory, 'users')]],
    ['hello', 'key-1', (directory: string) => ['-keys', directory]],
    ['edge', 'tls.crt', (directory: string) => ['-tls', directory]],
    ['edge', 'tls.key', (directory: string) => ['-tls', directory]],
  ] as const;
  test.for(cases)('%s, %s', async ([service, name, args]) => {
    const directory = await temporaryDirectory();
    if (name === 'tls.key') await copyFile(join(materials.tls, 'tls.crt'), join(directory, 'tls.crt'));
    execFileSync('mkfifo', [join(directory, name)]);
    expect(await refusal(service, args(directory))).toContain(`${join(directory, name)} is no file`);
  });
});

describe('users', () => {
  const hash = '$2b$04$4JEYoFwMyOjEGHjyQaYjMuzgdoZOJcpUBXQiLBNSBPMlOLzLTfwW2';
  const faults: Record<string, [file: string, message: RegExp]> = {
    'no colon': [`user:${hash}\nuser\n`, /line 2 is not NAME:HASH/],
    'a hash that was cut': [`user:${hash.slice(0, -1)}\n`, /line 1 \(user\)/],
    'a cost that holds a core for minutes': [`user:${hash.replace('$04$', '$31$')}\n`, /line 1 \(user\)/],
    'nobody in it': ['', /there is no user/],
  };
  test.for(Object.entries(faults))('a file with %s: one line without the hash, exit 1', async ([, [file, message]]) => {
    const path = join(await filledDirectory({ users: file }), 'users');
    const line = await refusal('auth', ['-secret', secret, '-users', path]);
    expect(line).toMatch(message);
    expect(line).toContain(`-users ${path}`);
    expect(line).not.toContain('$2b$');
  });

  test('a file of another encoding than UTF-8: one line, exit 1', async () => {
    const path = join(await temporaryDirectory(), 'users');
    await writeFile(path, `zo\xeb:${hash}\n`, 'latin1');
    expect(await refusal('auth', ['-secret', secret, '-users', path])).toContain(`-users ${path}`);
  });

  test('a byte order mark belongs to no name', async () => {
    const path = join(await filledDirectory({ users: `\ufeffuser:${hashSync('password', 4)}\n` }), 'users');
    const { url } = await begin('auth', ['-secret', secret, '-users', path]);
    expect(await login(url, 'user', 'password')).toMatch(/\./);
  });

  test('a file that is missing: one line, exit 1', async () => {
    const path = join(await temporaryDirectory(), 'users');
    expect(await refusal('monolith', ['-users', path])).toContain(path);
  });

  test('entries that are not bcrypt are named at start-up, without their hashes', async () => {
    const others = { md5: '$apr1$abcdefgh$9r5GJ3VvNzPNqXo', sha: '{SHA}W6ph5Mm5Pz8Gg', plain: 'password-in-clear' };
    const lines = Object.entries({ user: hash, ...others }).map(([name, text]) => `${name}:${text}\n`);
    const auth = await begin('auth', [
      '-secret',
      secret,
      '-users',
      join(await filledDirectory({ users: lines.join('') }), 'users'),
    ]);
    for (const [name, text] of Object.entries(others)) {
      await auth.log.waitFor(({ level, msg }) => level === 40 && msg.includes(`(${name})`));
      expect(auth.log.lines().join('')).not.toContain(text);
    }
    expect(auth.log.lines().join('')).not.toContain('(user)');
  });
});

describe('the certificate of the edge', () => {
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';

  test('a directory that is missing: one line, exit 1', async () => {
    expect(await refusal('edge', ['-tls', '/nonexistent'])).toMatch(/-tls \/nonexistent: .*tls\.crt.*make certs/);
  });

  test.for(['tls.crt', 'tls.key'])('a broken %s: one line, exit 1', async (name) => {
    const tls = await temporaryDirectory();
    for (const file of ['tls.crt', 'tls.key']) await copyFile(join(materials.tls, file), join(tls, file));
    for (const text of ['', 'garbage', broken]) {
      await writeFile(join(tls, name), text);
      expect(await refusal('edge', ['-tls', tls])).toMatch(new RegExp(`-tls ${tls}: .*${name}`));
    }
  });

  test('a key of another certificate: one line, exit 1', async () => {
    const other = await makeMaterials();
    onTestFinished(() => other.remove());
    await copyFile(join(materials.tls, 'tls.key'), join(other.tls, 'tls.key'));
    expect(await refusal('edge', ['-tls', other.tls])).toContain('tls.key does not belong to tls.crt');
  });
});

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

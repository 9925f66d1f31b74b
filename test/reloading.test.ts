import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hashSync } from 'bcryptjs';
import { expect, test } from 'vitest';
import { keyA as a, keyB as b, keyFiles, kidOf, mountSecret, tokenOf } from './helpers/keys.ts';
import {
  begin,
  filledDirectory,
  login,
  metric,
  reloaded,
  reloads,
  secure,
  temporaryDirectory,
  until,
} from './helpers/operations.ts';

test('what cannot be used leaves the old keys in place, is logged once and counted', async () => {
  const mount = await mountSecret(keyFiles('a', a));
  const hello = await begin('hello', ['-keys', mount.path]);
  const faults: Record<string, Record<string, string>> = {
    'HS256 needs at least 32': keyFiles('a', a, { kid: 'b', secret: 'too short' }),
    'key a has 0 bytes': keyFiles('a', { kid: 'a', secret: '' }),
    'signer names a key that is not there': keyFiles('b', a),
    'no file signer': { a: a.secret },
    'more than 4096 are not read': keyFiles('a', { kid: 'a', secret: 'x'.repeat(5000) }),
    'nothing is there any more': {},
  };
  const token = tokenOf(a);
  for (const [index, files] of Object.values(faults).entries()) {
    await mount.write(files);
    await reloaded(hello, 'keys', 'failed', index + 1);
    // The same once more, in a directory of its own: nothing new to tell.
    await mount.write(files);
    expect(await secure(hello, token)).toBe(200);
  }
  await mount.write(keyFiles('b', b));
  await reloaded(hello, 'keys', 'ok', 1);
  expect(await secure(hello, token)).toBe(401);
  expect(await reloads(hello, 'keys', 'failed')).toBe(Object.keys(faults).length);
  await until('the log is complete', () => hello.log.entries().some(({ msg }) => msg.includes('was read again')));
  const told = hello.log.entries().filter(({ level }) => level === 50);
  expect(told.map(({ msg }) => msg)).toEqual(
    Object.keys(faults).map((fault) => expect.stringMatching(new RegExp(`^-keys ${mount.path} .*(${fault})`))),
  );
  expect(hello.log.lines().join('')).not.toContain(b.secret);
});

test('a directory that vanishes leaves the old keys in place, and is read again when it is back', async () => {
  const keys = join(await temporaryDirectory(), 'keys');
  await mkdir(keys);
  for (const [name, text] of Object.entries(keyFiles('a', a))) await writeFile(join(keys, name), text);
  const hello = await begin('hello', ['-keys', keys]);
  await rm(keys, { recursive: true });
  await until('the loss is counted', async () => (await reloads(hello, 'keys', 'failed')) > 0);
  expect(await secure(hello, tokenOf(a))).toBe(200);
  const back = await filledDirectory(keyFiles('b', b));
  await rename(back, keys);
  await until('the new key', async () => (await secure(hello, tokenOf(b))) === 200);
  expect(await secure(hello, tokenOf(a))).toBe(401);
});

test('an editor that replaces files one by one is followed too', async () => {
  const keys = await filledDirectory(keyFiles('a', a));
  const auth = await begin('auth', ['-keys', keys]);
  const save = async (name: string, text: string) => {
    await writeFile(join(keys, `.${name}.swp`), text);
    await writeFile(join(keys, `${name}~`), 'the copy of an editor');
    await rename(join(keys, `.${name}.swp`), join(keys, name));
  };
  await save('b', `${b.secret}\n`);
  await save('signer', 'b\n');
  const token = await until('a token of the new key', async () => {
    const one = await login(auth.url);
    return kidOf(one) === 'b' && one;
  });
  expect(token).not.toBe(false);
  await rm(join(keys, 'a'));
  await until('one key is left', async () => (await metric(auth.healthUrl, 'jwt_keys')) === 1);
});

test('the users file is read again when it changes; what cannot be used leaves the old users in place', async () => {
  const line = (name: string) => `${name}:${hashSync(`password of ${name}`, 4)}\n`;
  const enter = async (name: string) =>
    login(auth.url, name, `password of ${name}`).then(
      () => 200,
      ({ message }) => Number(/\d{3}/.exec(message)?.[0]),
    );
  const mount = await mountSecret({ users: line('alice') });
  const args = ['-secret', a.secret, '-users', join(mount.path, 'users')];
  const auth = await begin('auth', args);
  expect([await enter('alice'), await enter('bob')]).toEqual([200, 401]);
  await mount.write({ users: line('bob') });
  await reloaded(auth, 'users', 'ok', 1);
  expect([await enter('alice'), await enter('bob')]).toEqual([401, 200]);
  for (const [index, users] of ['', 'bob\n', `bob:$2b$04$short\n`].entries()) {
    await mount.write({ users });
    await reloaded(auth, 'users', 'failed', index + 1);
    expect([await enter('alice'), await enter('bob')]).toEqual([401, 200]);
  }
  await mount.write({});
  await reloaded(auth, 'users', 'failed', 4);
  expect([await enter('alice'), await enter('bob')]).toEqual([401, 200]);
  await mount.write({ users: line('alice') + line('bob') });
  await reloaded(auth, 'users', 'ok', 2);
  expect([await enter('alice'), await enter('bob')]).toEqual([200, 200]);
});

import { createHmac, type KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { isShort, parseKeyDirectory, readKeyDirectory, secretKeySet, temporaryKeySet } from './keys.ts';

const good = 'g'.repeat(32);
const other = 'o'.repeat(32);
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keys-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
});

function write(files: Record<string, string | Uint8Array>) {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
}

const load = () => parseKeyDirectory(readKeyDirectory(directory));
const bytes = (key: KeyObject | undefined) => key?.export().toString('latin1');
const contents = (set = load()) => Object.fromEntries([...(set?.keys ?? [])].map(([kid, key]) => [kid, bytes(key)]));

test('every file is a key by its name, and signer says which one signs', () => {
  write({ 'key-1': good, 'key-2': other, signer: ' key-2 \r\n' });
  expect(load()?.signer).toBe('key-2');
  expect(contents()).toEqual({ 'key-1': good, 'key-2': other });
});

test('a directory without files has no keys yet', () => expect(load()).toBeUndefined());

test('the newline that an editor leaves belongs to no key; every other byte does', () => {
  const withNewline = (newline: string) => write({ signer: 'key', key: `${good}${newline}` });
  for (const newline of ['\n', '\r\n']) {
    withNewline(newline);
    expect(contents()).toEqual({ key: good });
  }
  const key = fc.uint8Array({ minLength: 32, maxLength: 64 }).filter((all) => all.at(-1) !== 10);
  fc.assert(
    fc.property(key, (all) => {
      write({ key: all });
      const sign = (secret: KeyObject | Uint8Array) => createHmac('sha256', secret).update('text').digest('hex');
      expect(sign(load()?.keys.get('key') as KeyObject)).toBe(sign(all));
    }),
    { numRuns: 30 },
  );
});

test('what editors and the kubelet leave beside the keys is no key', () => {
  write({
    'key-1': good,
    signer: 'key-1',
    '.key-1.swp': 'x',
    'key-1~': other,
    '#key-1#': other,
    '..2026/key-9': other,
  });
  expect(contents()).toEqual({ 'key-1': good });
});

test('a mounted Secret is read below its ..data, and as a whole after a swap', () => {
  const swapTo = (name: string, files: Record<string, string>) => {
    for (const [file, content] of Object.entries(files)) write({ [`${name}/${file}`]: content });
    symlinkSync(name, join(directory, '..data_tmp'));
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
  };
  swapTo('..first', { 'key-1': good, signer: 'key-1' });
  for (const file of ['key-1', 'signer']) symlinkSync(`..data/${file}`, join(directory, file));
  expect(contents()).toEqual({ 'key-1': good });
  swapTo('..second', { 'key-2': other, signer: 'key-2' });
  expect(load()?.signer).toBe('key-2');
  expect(contents()).toEqual({ 'key-2': other });
});

describe('a directory is refused, with the file that is wrong and never what is in it, where', () => {
  test.for<[string, Record<string, string>, RegExp]>([
    ['a key is short', { 'key-1': 'secret'.repeat(5), signer: 'key-1' }, /^key key-1 has 30 bytes: .* at least 32$/],
    ['a key is short without its newline', { 'key-1': `${'secret1'.repeat(4)}123\n` }, /^key key-1 has 31 bytes/],
    ['a key is empty', { 'key-1': good, 'key-2': '', signer: 'key-1' }, /^key key-2 has 0 bytes/],
    ['a file is too long', { 'key-1': 'secret'.repeat(700), signer: 'key-1' }, /key-1 has 4200 bytes/],
    ['there is no signer', { 'key-1': good }, /^there is no file signer/],
    ['signer is empty', { 'key-1': good, signer: '' }, /^signer names a key that is not there: the keys are key-1$/],
    ['signer names nothing', { 'key-1': good, signer: 'secret' }, /^signer names a key that is not there/],
    ['signer is alone', { signer: 'signer' }, /^signer names a key that is not there: the keys are none$/],
    ['signer names what every object has', { 'key-1': good, signer: 'constructor' }, /^signer names a key/],
    ['a key is a directory', { 'key-1': good, signer: 'key-1', 'key-2/file': good }, /key-2 is no file$/],
  ])('%s', ([, files, message]) => {
    write(files);
    expect(load).toThrow(message);
    expect(load).not.toThrow(/secret/);
  });

  test('it does not exist', () => {
    expect(() => readKeyDirectory(join(directory, 'nowhere'))).toThrow(/ENOENT.*nowhere/);
  });
});

test('a key may have a name that every object has', () => {
  write({ ['__proto__']: good, constructor: other, signer: 'constructor' });
  const set = load();
  expect([bytes(set?.keys.get('__proto__')), bytes(set?.keys.get('constructor'))]).toEqual([good, other]);
  expect(set?.keys.get('toString')).toBeUndefined();
});

test('the key of -secret is its bytes, of any length, and short when they are less than 32', () => {
  expect(contents(secretKeySet('s'))).toEqual({ secret: 's' });
  expect(['é'.repeat(16), 'e'.repeat(32)].map(isShort)).toEqual([false, false]);
  expect(['é'.repeat(15), 'e'.repeat(31)].map(isShort)).toEqual([true, true]);
});

test('a temporary key is long enough, and never the same', () => {
  const keys = [temporaryKeySet(), temporaryKeySet()].map(({ signer, keys }) => keys.get(signer));
  expect(keys.map((key) => key?.symmetricKeySize)).toEqual([32, 32]);
  expect(bytes(keys[0])).not.toBe(bytes(keys[1]));
});

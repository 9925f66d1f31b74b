import { describe, expect, test } from 'vitest';
import { FileProblem } from './file-set.ts';
import { completeJwtKeys, makeJwtKey } from './jwt-keys.ts';

const long = 'k'.repeat(32);
const complete = (files: Record<string, string>) =>
  completeJwtKeys(new Map(Object.entries(files).map(([name, text]) => [`keys/${name}`, text])));
const summary = (files: Record<string, string>) =>
  complete(files).map(({ path, text, why }) => [path, path === 'keys/signer' ? text : text === long, why]);
const problem = (files: Record<string, string>) => {
  try {
    complete(files);
  } catch (error) {
    expect(error).toBeInstanceOf(FileProblem);
    return error as FileProblem;
  }
  return undefined;
};

test('a key is text of 32 random bytes', () => {
  const keys = Array.from({ length: 20 }, makeJwtKey);
  for (const key of keys) {
    expect(key).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(Buffer.from(key, 'base64url')).toHaveLength(32);
  }
  expect(new Set(keys).size).toBe(20);
});

describe('what is missing or empty is made', () => {
  test('a key and a signer that names it, the key first', () => {
    const entries = complete({});
    expect(entries.map(({ path, why }) => [path, why])).toEqual([
      ['keys/key-1', 'was missing'],
      ['keys/signer', 'was missing'],
    ]);
    expect(entries[0]?.text).toHaveLength(43);
    expect(entries[1]?.text).toBe('key-1');
  });

  test('the signer, where there is one key', () => {
    for (const [files, why] of [
      [{ 'key-7': long }, 'was missing'],
      [{ 'key-7': long, signer: '\n' }, 'was empty'],
    ] as const) {
      expect(summary(files)).toEqual([
        ['keys/key-7', true, undefined],
        ['keys/signer', 'key-7', why],
      ]);
    }
  });

  test('the key that the signer names, beside the others', () => {
    expect(summary({ 'key-1': long, signer: 'key-2\n' })).toEqual([
      ['keys/key-1', true, undefined],
      ['keys/key-2', false, 'was missing'],
      ['keys/signer', 'key-2', undefined],
    ]);
  });

  test('the text of an empty key', () => {
    expect(summary({ 'key-1': '', 'key-2': long, signer: 'key-2' })).toEqual([
      ['keys/key-1', false, 'was empty'],
      ['keys/key-2', true, undefined],
      ['keys/signer', 'key-2', undefined],
    ]);
  });
});

test('a whole set is kept, through a rotation too', () => {
  for (const { why } of complete({ 'key-1': `${long}\n`, 'key-2': long, signer: 'key-2\n' }))
    expect(why).toBeUndefined();
});

test('files whose names are no kid are left alone', () => {
  expect(summary({ 'key-1~': 'x', 'my key': 'x', '.hidden': 'x', 'key-1': long, signer: 'key-1' })).toHaveLength(2);
});

describe('what only a person can decide is an error with the path', () => {
  test('several keys and no signer', () => {
    for (const signer of [{}, { signer: '' }]) {
      const error = problem({ 'key-1': long, 'key-2': long, ...signer });
      expect(error).toMatchObject({ path: 'keys/signer', message: expect.stringContaining('key-1, key-2') });
    }
  });

  test.for(['../ca/ca.key', '.key', 'two words', 'signer', 'k'.repeat(65)])('a signer that says %s', (signer) => {
    expect(problem({ 'key-1': long, signer })).toMatchObject({ path: 'keys/signer' });
  });

  test('a short key, which it does not print', () => {
    const error = problem({ 'key-1': 'hunter2', signer: 'key-1' });
    expect(error).toMatchObject({ path: 'keys/key-1', message: expect.stringContaining('7 bytes') });
    expect(error?.message).not.toContain('hunter2');
  });
});

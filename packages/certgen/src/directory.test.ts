import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { Directory } from './directory.ts';
import { type Entry, FileProblem } from './file-set.ts';
import { fill } from './fill.ts';

const now = new Date();
const allPaths = ['ca/ca.key', 'tls/tls.key', 'tls/ca.crt', 'tls/tls.crt', 'keys/key-1', 'keys/signer'];
const fillDirectory = (directory: string, at: Date) => fill(new Directory(directory), at);
const made = (entries: Entry[]) => entries.filter(({ why }) => why !== undefined).map(({ path }) => path);
const problem = (out: string) => fillDirectory(out, now).catch((error: unknown) => error);
let directory: string;

beforeEach(async () => {
  const parent = await mkdtemp(join(tmpdir(), 'certgen-'));
  onTestFinished(() => rm(parent, { recursive: true }));
  directory = join(parent, 'out');
});

const read = (path: string) => readFile(join(directory, path), 'utf8');
const write = (path: string, text: string) => writeFile(join(directory, path), text);

/** Everything that a run could change: texts, modes, inodes and times. */
async function snapshot() {
  const names = (await readdir(directory, { recursive: true })).sort();
  return Promise.all(
    names.map(async (name) => {
      const { ino, mode, mtimeMs, size } = await stat(join(directory, name));
      return { name, ino, mode, mtimeMs, size };
    }),
  );
}

async function expectWhole() {
  expect((await readdir(directory)).sort()).toEqual(['ca', 'keys', 'tls']);
  expect(await readdir(join(directory, 'ca'))).toEqual(['ca.key']);
  expect((await readdir(join(directory, 'tls'))).sort()).toEqual(['ca.crt', 'tls.crt', 'tls.key']);
  expect((await readdir(join(directory, 'keys'))).sort()).toEqual([await read('keys/signer'), 'signer']);
  const ca = new X509Certificate(await read('tls/ca.crt'));
  const server = new X509Certificate(await read('tls/tls.crt'));
  expect(ca.checkPrivateKey(createPrivateKey(await read('ca/ca.key')))).toBe(true);
  expect(server.checkPrivateKey(createPrivateKey(await read('tls/tls.key')))).toBe(true);
  expect(server.checkIssued(ca) && server.verify(ca.publicKey)).toBe(true);
}

test('a directory that is not there is made and filled', async () => {
  expect(made(await fillDirectory(directory, now))).toEqual(allPaths);
  await expectWhole();
});

test('private keys are their owner’s alone, and the folders that hold nothing else too', async () => {
  await fillDirectory(directory, now);
  const mode = async (path: string) => (await stat(join(directory, path))).mode & 0o777;
  for (const path of ['ca/ca.key', 'tls/tls.key', 'keys/key-1']) expect(await mode(path), path).toBe(0o600);
  for (const path of ['ca', 'keys']) expect(await mode(path), path).toBe(0o700);
  for (const path of ['tls/ca.crt', 'tls/tls.crt'])
    expect(await mode(path), path).toBe(0o666 & ~process.umask() & 0o644);
});

test('a second run changes nothing', async () => {
  await fillDirectory(directory, now);
  const before = await snapshot();
  const entries = await fillDirectory(directory, now);
  expect(made(entries)).toEqual([]);
  expect(entries.map(({ path }) => path)).toEqual(allPaths);
  expect(await snapshot()).toEqual(before);
});

test('a half-made set is mended, and what is whole in it is not touched', async () => {
  await fillDirectory(directory, now);
  const key = await read('keys/key-1');
  await rm(join(directory, 'tls/tls.key'));
  await write('tls/ca.crt', '');
  await rm(join(directory, 'keys/signer'));
  expect(made(await fillDirectory(directory, now))).toEqual([
    'tls/tls.key',
    'tls/ca.crt',
    'tls/tls.crt',
    'keys/signer',
  ]);
  await expectWhole();
  expect(await read('keys/key-1')).toBe(key);
  expect((await stat(join(directory, 'tls/tls.key'))).mode & 0o777).toBe(0o600);
});

test('an expired certificate is renewed, and a client with the CA of old accepts it', async () => {
  await fillDirectory(directory, now);
  const ca = new X509Certificate(await read('tls/ca.crt'));
  const end = new X509Certificate(await read('tls/tls.crt')).validToDate;
  expect(made(await fillDirectory(directory, end))).toEqual(['tls/tls.crt']);
  await expectWhole();
  expect(new X509Certificate(await read('tls/tls.crt')).verify(ca.publicKey)).toBe(true);
});

describe('several runs at once', () => {
  const rounds = Array.from({ length: 5 }, (_, index) => index);
  const runs = () => Promise.all(Array.from({ length: 6 }, () => fillDirectory(directory, now)));

  test.for(rounds)('make one set, each file of it once, round %i', async () => {
    const results = await runs();
    await expectWhole();
    expect(results.flatMap(made).sort()).toEqual([...allPaths].sort());
    expect(made(await fillDirectory(directory, now))).toEqual([]);
  });

  test.for(rounds)('replace unreadable files by one set, round %i', async () => {
    await fillDirectory(directory, now);
    for (const path of allPaths.slice(0, 4)) await write(path, 'half');
    await write('keys/key-1', '');
    await runs();
    await expectWhole();
    expect(made(await fillDirectory(directory, now))).toEqual([]);
  });
});

describe('temporary files', () => {
  test('of a run that was killed are removed, of a run that goes on are not', async () => {
    await fillDirectory(directory, now);
    await write(`tls/.certgen-${Date.now() - 120_000}-killed`, 'half a key');
    await fillDirectory(directory, now);
    await expectWhole();
    const going = `.certgen-${Date.now()}-going-on`;
    await write(`tls/${going}`, 'half a key');
    await fillDirectory(directory, now);
    expect(await readdir(join(directory, 'tls'))).toContain(going);
  });
});

test('hidden names and a volume’s own folder among the keys are no keys', async () => {
  await mkdir(join(directory, 'keys/lost+found'), { recursive: true });
  await write('keys/.gitkeep', '');
  expect(made(await fillDirectory(directory, now))).toEqual(allPaths);
});

describe('an error names the path', () => {
  test('of a file that is in the way of a folder', async () => {
    await mkdir(directory);
    await write('keys', '');
    const error = await problem(directory);
    expect(error).toBeInstanceOf(FileProblem);
    expect(error).toMatchObject({ path: 'keys', message: expect.stringMatching(/^file already exists: .*-out$/) });
  });

  test('of an output directory below a file', async () => {
    await mkdir(directory);
    await write('file', '');
    expect(await problem(join(directory, 'file/out'))).toMatchObject({
      path: '.',
      message: expect.stringMatching(/^not a directory: /),
    });
  });

  test('of a folder in the place of a file', async () => {
    await mkdir(join(directory, 'tls/tls.crt'), { recursive: true });
    expect(await problem(directory)).toMatchObject({
      path: 'tls/tls.crt',
      message: expect.stringMatching(/directory/),
    });
  });

  test('of a file that cannot be read', async () => {
    await fillDirectory(directory, now);
    await rm(join(directory, 'tls/tls.key'));
    await symlink('tls.key', join(directory, 'tls/tls.key'));
    expect(await problem(directory)).toMatchObject({ path: 'tls/tls.key', message: expect.stringMatching(/links/) });
  });

  test('and nothing is written when a person has to decide', async () => {
    await mkdir(join(directory, 'keys'), { recursive: true });
    await write('keys/signer', '../ca/ca.key');
    expect(await problem(directory)).toMatchObject({ path: 'keys/signer' });
    expect(await readdir(join(directory, 'tls'))).toEqual([]);
  });
});

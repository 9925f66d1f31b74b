import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { run } from './run.ts';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const now = new Date();
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'certgen-'));
  onTestFinished(() => rm(directory, { recursive: true }));
});

async function certgen(...args: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await run(args, {}, now, { write: (text) => out.push(text) }, { write: (text) => err.push(text) });
  return { code, out: out.join(''), err: err.join('') };
}

const verbs = (out: string) => out.match(/^\w+/gm);

test.for(['-out', '--out'])('%s takes its value after a blank or an equals sign', async (flag) => {
  for (const args of [[flag, join(directory, 'a')], [`${flag}=${join(directory, 'b')}`]]) {
    expect(await certgen(...args)).toMatchObject({ code: 0, err: '' });
  }
  expect(await readFile(join(directory, 'a/keys/signer'), 'utf8')).toBe('key-1');
  expect(await readFile(join(directory, 'b/keys/signer'), 'utf8')).toBe('key-1');
});

test('says in a line for each file whether it was made, and why, or kept', async () => {
  const first = await certgen('-out', directory);
  expect(verbs(first.out)).toEqual(Array(6).fill('made'));
  expect(first.out).toContain(`made ${join(directory, 'tls/tls.crt')} (was missing)\n`);
  expect(verbs((await certgen('-out', directory)).out)).toEqual(Array(6).fill('kept'));
});

test('never prints a key', async () => {
  const { out } = await certgen('-out', directory);
  expect(out).not.toMatch(/PRIVATE|BEGIN/);
  for (const path of ['keys/key-1', 'ca/ca.key', 'tls/tls.key']) {
    for (const line of (await readFile(join(directory, path), 'utf8')).trim().split('\n'))
      expect(out).not.toContain(line);
  }
});

test('-help prints the usage and makes nothing', async () => {
  expect(await certgen('-help')).toEqual({ code: 0, out: expect.stringMatching(/^Usage: certgen/), err: '' });
});

test.for([['-out'], ['-out', 'a', '-secrets'], ['-out='], ['-bad'], ['-out', '-help'], ['surplus'], ['-']])(
  '%s is refused with the usage',
  async (args) => {
    const { code, out, err } = await certgen(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^certgen: .+\n[\s\S]*\nUsage: certgen/);
  },
);

test('what it cannot put right is one line with the path, and exit code 1', async () => {
  await mkdir(join(directory, 'keys'));
  await writeFile(join(directory, 'keys/signer'), 'no kid');
  const { code, out, err } = await certgen('-out', directory);
  expect({ code, out }).toEqual({ code: 1, out: '' });
  expect(err).toMatch(/^certgen: .+\n$/);
  expect(err).toContain(`certgen: ${join(directory, 'keys/signer')}: `);
});

describe('as a process', () => {
  const start = (...args: string[]) => promisify(execFile)(process.execPath, [main, ...args], { cwd: directory });

  test('it fills the current directory', async () => {
    const { stdout, stderr } = await start();
    expect(stderr).toBe('');
    expect(stdout).toContain('made tls/tls.crt (was missing)\n');
  });

  test('its exit code is that of the command line', async () => {
    await expect(start('-bad')).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('Usage') });
  });

  test('two at once make each file once', async () => {
    const results = await Promise.all([start(), start()]);
    expect(results.flatMap(({ stdout }) => stdout.match(/^made \S+/gm) ?? []).sort()).toHaveLength(6);
    expect(verbs((await start()).stdout)).toEqual(Array(6).fill('kept'));
  });
});

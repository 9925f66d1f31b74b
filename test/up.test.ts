import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { type Materials, makeMaterials } from './drivers/materials.ts';
import { freePorts, readiness, send, until, within } from './helpers/operations.ts';
import { isRunning, offsets, type Running, up } from './helpers/up.ts';

let materials: Materials;
vi.setConfig({ testTimeout: 60_000 });
beforeAll(async () => {
  materials = await makeMaterials();
});
afterAll(() => materials.remove());

const names = ['monolith', 'hello', 'auth', 'edge'];
const allGone = (children: Running[]) => until('no process is left', () => !children.some(isRunning));

test.for(['pretty', 'json'])(
  'LOGS=%s: every command that is printed works, and Ctrl-C ends it all with 0',
  async (logs, { skip }) => {
    const running = await up(materials.directory, '-logs', logs);
    await running.ready();
    const children = running.children();
    expect(children.map(({ name }) => name).sort()).toEqual(names.toSorted());

    const labelled = running
      .stdout()
      .split('\n')
      .find((line) => line.includes('listening'));
    if (logs === 'json') expect(JSON.parse(labelled ?? '')).toMatchObject({ msg: 'listening' });
    else expect(labelled).toMatch(/^(monolith|hello|auth|edge) +\| .*listening/);

    const commands = running
      .stdout()
      .split('\n')
      .filter((line) => /^(curl|TOKEN=)/.test(line));
    expect(commands.filter((line) => line.includes(' --cacert ')).length).toBeGreaterThan(4);
    expect(commands.join('\n')).not.toMatch(/ -k\b| --insecure/);
    for (const path of ['/', '/login', '/secure', '/version', '/readiness', '/metrics'])
      for (const scheme of path === '/readiness' || path === '/metrics' ? ['http'] : ['http', 'https'])
        expect(
          commands.some((line) => new RegExp(`${scheme}://[^/ ]+${path}( \\| grep .*)?$`).test(line)),
          `${scheme} ${path}`,
        ).toBe(true);
    skip(!hasCurl(), 'there is no curl on this machine');
    // What is printed runs as it is; curl itself is told to fail when the answer is an error.
    const script = ['curl() { command curl -sS --fail-with-body "$@"; }', ...commands].join('\n');
    const output = execFileSync('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: materials.directory,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect(output.match(/\{"message":"Hello"\}/g)).toHaveLength(4);
    expect(output.match(/\{"token":"[^"]+"\}/g)).toHaveLength(2);
    expect(output.match(/\{"version":"1\.0\.0"\}/g)).toHaveLength(2);
    expect(output).toContain('http_request_duration_seconds_count');

    running.interrupt();
    expect(await within('up ends', running.exited)).toEqual([0, null]);
    expect(children.filter(isRunning)).toEqual([]);
    expect(running.stderr()).toBe('');
  },
);

test.for(['no', 'yes'])('SIGTERM to up alone ends it all with 0 (-watch %s)', async (watch) => {
  const running = await up(materials.directory, '-watch', watch);
  await running.ready();
  const children = running.children();
  running.kill('SIGTERM');
  expect(await within('up ends', running.exited)).toEqual([0, null]);
  expect(children.filter(isRunning)).toEqual([]);
});

test('Ctrl-C while it starts ends it all with 0, and does not say that it is ready', async () => {
  const running = await up(materials.directory);
  await until('children are there', () => running.children().length === names.length);
  const children = running.children();
  running.interrupt();
  expect(await within('up ends', running.exited)).toEqual([0, null]);
  expect(children.filter(isRunning)).toEqual([]);
  expect(running.stdout()).not.toContain('Ready.');
});

test.for(['0', '65400', '70000', 'http'])(
  '-port %s, which is none or leaves no room: one line, exit 2',
  async (port) => {
    const running = await up(materials.directory, '-port', port);
    expect(await within('up ends', running.exited)).toEqual([2, null]);
    expect(running.stderr()).toMatch(/^up: -port: [^\n]*\n\nUsage: up /);
    expect(running.stdout()).toBe('');
  },
);

test.for(offsets)('a taken port (the first + %s): one line that names it, exit 1', async (offset) => {
  const base = await freePorts(offsets.flatMap((one) => [one, one + 1]));
  const other = createServer().listen(base + offset, '127.0.0.1');
  await once(other, 'listening');
  onTestFinished(() => void other.close());
  const running = await up(materials.directory, '-port', String(base));
  expect(await within('up ends', running.exited)).toEqual([1, null]);
  expect(running.stderr()).toMatch(new RegExp(`^up: port ${base + offset} taken[^\\n]*make up PORT=\\d+\\n$`));
  expect(running.stdout()).toBe('');
});

test('a service that is killed ends the others, with exit 1', async () => {
  const running = await up(materials.directory);
  await running.ready();
  const children = running.children();
  process.kill(children.find(({ name }) => name === 'auth')?.pid ?? 0, 'SIGKILL');
  expect(await within('up ends', running.exited)).toEqual([1, null]);
  expect(children.filter(isRunning)).toEqual([]);
  expect(running.stderr()).toMatch(/^up: auth ended[^\n]*\n$/);
});

test('SIGKILL of up leaves no process behind', async () => {
  const running = await up(materials.directory);
  await running.ready();
  const children = running.children();
  expect(await readiness(`http://127.0.0.1:${running.base + 1}`)).toBe(200);
  running.kill('SIGKILL');
  await allGone(children);
  await expect(send(`http://127.0.0.1:${running.base}`)).rejects.toThrow('ECONNREFUSED');
});

test('SIGKILL of up while it starts leaves no process behind', async () => {
  const running = await up(materials.directory);
  await until('children are there', () => running.children().length === names.length);
  const children = running.children();
  running.kill('SIGKILL');
  await allGone(children);
});

function hasCurl(): boolean {
  try {
    execFileSync('curl', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { keyA, tokenOf } from './helpers/keys.ts';
import { bearer, freePorts, metric, readiness, send, temporaryDirectory, until, within } from './helpers/operations.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Starts hello with its stdout there; gives its URLs and how it ends. */
async function helloWritingTo(stdout: number | 'pipe') {
  const port = await freePorts([0, 1]);
  const addresses = ['-http', `127.0.0.1:${port}`, '-health', `127.0.0.1:${port + 1}`];
  const args = ['packages/hello/src/main.ts', ...addresses, '-secret', keyA.secret];
  const child = spawn(process.execPath, args, { cwd: root, env: {}, stdio: ['ignore', stdout, 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const healthUrl = `http://127.0.0.1:${port + 1}`;
  await until('ready', async () => (await readiness(healthUrl)) === 200);
  return { child, url: `http://127.0.0.1:${port}`, healthUrl, exited, stderr: () => stderr };
}

type Hello = Awaited<ReturnType<typeof helloWritingTo>>;

const sinks: Record<string, (test: { skip: (condition: boolean, note: string) => void }) => Promise<Hello>> = {
  'whose reader has gone': async () => {
    const hello = await helloWritingTo('pipe');
    hello.child.stdout?.destroy();
    return hello;
  },
  'of a disk that is full': async ({ skip }) => {
    skip(!existsSync('/dev/full'), 'this system has no /dev/full');
    const full = openSync('/dev/full', 'w');
    onTestFinished(() => closeSync(full));
    return helloWritingTo(full);
  },
  'that nobody reads, a socket': async () => {
    const hello = await helloWritingTo('pipe');
    hello.child.stdout?.pause();
    return hello;
  },
  'that nobody reads, a pipe': async () => {
    const path = join(await temporaryDirectory(), 'pipe');
    execFileSync('mkfifo', [path]);
    const pipe = openSync(path, 'r+');
    onTestFinished(() => closeSync(pipe));
    return helloWritingTo(pipe);
  },
};

test.for(Object.entries(sinks))('stdout %s: serves, counts what it drops, ends with 0', async ([, begin], context) => {
  const { url, healthUrl, child, exited, stderr } = await begin(context);
  const agent = new Agent({ keepAlive: true, maxSockets: 20 });
  onTestFinished(() => agent.destroy());
  // With -secret the key's name is secret.
  const headers = { ...bearer(tokenOf({ kid: 'secret', secret: keyA.secret })), 'x-request-id': 'x'.repeat(64) };
  // A long path that is not there makes a long line; the second time shows that it goes on.
  const paths = ['/secure', ...Array.from({ length: 9 }, () => `/${'"'.repeat(250)}`)];
  for (let round = 0; round < 2; round += 1) {
    const before = await metric(healthUrl, 'log_lines_dropped_total');
    const counts: Record<number, number> = {};
    while ((await metric(healthUrl, 'log_lines_dropped_total')) === before) {
      const batch = Array.from({ length: 200 }, (_, index) => send(url + paths[index % 10], { headers, agent }));
      for (const { status } of await Promise.all(batch)) counts[status] = (counts[status] ?? 0) + 1;
    }
    expect(counts).toEqual({ 200: expect.any(Number), 404: 9 * (counts[200] ?? 0) });
  }
  expect(await readiness(healthUrl)).toBe(200);
  child.kill('SIGTERM');
  expect(await within('the process ends', exited, 10_000)).toEqual([0, null]);
  expect(stderr()).toBe('');
});

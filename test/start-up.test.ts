import { beforeAll, describe, expect, test } from 'vitest';
import { type Materials, makeMaterials } from './drivers/materials.ts';
import { run, type Service } from './drivers/processes.ts';
import { bearer, begin, freePorts, login, marker, readiness, refusal, send } from './helpers/operations.ts';

const shared = ['http', 'health', 'drain-delay', 'shutdown-timeout', 'log-level', 'help', 'version'];
const flags: Record<Service, string[]> = {
  monolith: [...shared, 'keys', 'secret', 'token-ttl', 'users'],
  hello: [...shared, 'keys', 'secret'],
  auth: [...shared, 'keys', 'secret', 'token-ttl', 'users'],
  edge: [...shared, 'tls', 'hello', 'auth'],
};
const services = Object.keys(flags) as Service[];
const secret = 'a secret that is long enough to be a key';
const anyPorts = ['-http', '127.0.0.1:0', '-health', '127.0.0.1:0'];

let materials: Materials;
beforeAll(async () => {
  materials = await makeMaterials();
  return () => materials.remove();
});

describe.for(services)('%s', (service) => {
  test('-help lists every flag and exits 0', async () => {
    const { code, stdout, stderr } = await run(service, ['-help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect([...stdout.matchAll(/^ {2}-(\S+)/gm)].map(([, name]) => name).sort()).toEqual(flags[service].toSorted());
  });

  test('-version tells name and version and exits 0', async () => {
    expect(await run(service, ['-version'])).toMatchObject({ code: 0, stdout: `${service} 1.0.0\n`, stderr: '' });
    expect(await run(service, ['--version'], { VERSION: '2.0.0' })).toMatchObject({ stdout: `${service} 2.0.0\n` });
  });

  test('every problem of a command line and its environment is told at once, with the usage and exit 2', async () => {
    const hidden = marker();
    const args = ['-http=nowhere', '--drain-delay', '8', '-bogus', hidden, '-shutdown-timeout=1s', 'stray', '-health'];
    const { code, stdout, stderr } = await run(service, args, { LOG_LEVEL: 'loud' });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    for (const problem of ['-http: "nowhere"', '-drain-delay: "8"', '-bogus', 'argument 7', '-health', 'LOG_LEVEL'])
      expect(stderr).toContain(`${service}: ${problem}`);
    expect(stderr).toContain(`Usage: ${service}`);
    expect(stderr).not.toContain(hidden);
  });

  test.for(['http', 'health'])('a taken port for -%s: one line, exit 1', async (listener) => {
    const other = await begin('hello', ['-secret', secret]);
    const { host } = new URL(other.url);
    const own = service === 'edge' ? ['-tls', materials.tls] : ['-secret', secret];
    const line = await refusal(service, [...own, `-${listener}`, host]);
    expect(line).toContain(`${host}: the port is taken`);
    expect(line).toContain(`-${listener}`);
  });
});

describe('the key on the command line', () => {
  test.for(['hello', 'auth'] as const)('%s without a key: usage, exit 2', async (service) => {
    const { code, stderr } = await run(service, anyPorts);
    expect(code).toBe(2);
    expect(stderr).toMatch(/no key: give -keys DIR .* or -secret KEY[\s\S]*Usage:/);
  });

  test('the monolith without a key warns, and its tokens are good for its lifetime', async () => {
    const monolith = await begin('monolith');
    expect(await monolith.log.waitFor(({ level }) => level === 40)).toMatchObject({
      msg: expect.stringMatching(/no key given/),
    });
    const headers = bearer(await login(monolith.url));
    expect(await send(`${monolith.url}/secure`, { headers })).toMatchObject({ status: 200 });
  });

  test('a -secret below 32 bytes warns; no line holds it, nor one of the environment', async () => {
    const short = 'short-secret-7f3a';
    const monolith = await begin('monolith', [`-secret=${short}`]);
    await monolith.log.waitFor(({ level, msg }) => level === 40 && /fewer than 32 bytes/.test(msg));
    const hello = await begin('hello', [], { SECRET: short });
    const headers = bearer(await login(monolith.url));
    expect(await send(`${hello.url}/secure`, { headers })).toMatchObject({ status: 200 });
    for (const process of [monolith, hello]) {
      await process.stop();
      const { stdout, stderr } = await process.exited;
      expect(stdout + stderr).not.toContain(short);
    }
  });

  test('-http :PORT -health :PORT -secret=secret works as in the published labs', async () => {
    const port = await freePorts([0, 1]);
    await begin('monolith', ['-http', `:${port}`, '-health', `:${port + 1}`, '-secret=secret']);
    const url = `http://127.0.0.1:${port}`;
    const headers = bearer(await login(url));
    expect(await send(`${url}/secure`, { headers })).toMatchObject({ status: 200, body: '{"message":"Hello"}\n' });
    expect(await readiness(`http://127.0.0.1:${port + 1}`)).toBe(200);
  });
});

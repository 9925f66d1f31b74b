import { Agent } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { keyA as a, keyB as b, keyFiles, kidOf, mountSecret, tokenOf } from './helpers/keys.ts';
import { begin, login, metric, reloaded, reloads, secure, until } from './helpers/operations.ts';

test('in three phases no valid token is ever refused, and those of the retired key are at once', async () => {
  // Mounts of their own: nodes learn of a new Secret at different times.
  const mounts = [await mountSecret(keyFiles('a', a)), await mountSecret(keyFiles('a', a))] as const;
  const hello = await begin('hello', ['-keys', mounts[0].path]);
  const auth = await begin('auth', ['-keys', mounts[1].path]);

  let valid = [await login(auth.url), tokenOf(a)];
  let done = false;
  let sent = 0;
  const refused: number[] = [];
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  const client = async () => {
    while (!done) {
      const status = await secure(hello, valid[sent % valid.length] as string, agent);
      sent += 1;
      if (status !== 200) refused.push(status);
    }
  };
  const user = async () => {
    while (!done) {
      const token = await login(auth.url);
      valid.push(token);
    }
  };
  const load = Promise.all([client(), client(), client(), client(), user()]);
  /** Until requests have been sent in what is now the state of things. */
  const some = async () => {
    const before = sent;
    await until('requests', () => sent > before + 100);
  };

  await some();
  for (const [index, service] of [hello, auth].entries()) {
    await mounts[index]?.write(keyFiles('a', a, b));
    await reloaded(service, 'keys', 'ok', 1);
    await some();
  }
  // The other way about, so that tokens of the new key come to a process that still signs with the old one.
  for (const [index, service] of [...[hello, auth].entries()].reverse()) {
    await mounts[index]?.write(keyFiles('b', a, b));
    await reloaded(service, 'keys', 'ok', 2);
    await some();
  }
  await until('tokens of the new key', () => kidOf(valid.at(-1) ?? '') === 'b');
  await some();
  // As when the last token of the old key has expired.
  const retired = valid.filter((token) => kidOf(token) === 'a');
  valid = valid.filter((token) => kidOf(token) === 'b');
  for (const token of retired) expect(await secure(hello, token)).toBe(200);
  expect(await metric(hello.healthUrl, 'token_cache_hits_total')).toBeGreaterThan(0);
  for (const [index, service] of [hello, auth].entries()) {
    await mounts[index]?.write(keyFiles('b', b));
    await reloaded(service, 'keys', 'ok', 3);
    for (const token of retired) expect(await secure(hello, token)).toBe(401);
    await some();
  }
  done = true;
  await load;
  expect(refused).toEqual([]);
  for (const service of [hello, auth]) expect(await reloads(service, 'keys', 'failed')).toBe(0);
});

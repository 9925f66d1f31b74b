import { randomBytes } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { describeWithCluster } from '../helpers/cluster.ts';
import { kidOf, tokenOf } from '../helpers/keys.ts';
import { bearer, metric, send, until } from '../helpers/operations.ts';
import { ClusterLoad } from './load.ts';
import { nameOf, restarts, useNamespace } from './namespace.ts';

describeWithCluster('JWT keys in the Secret jwt-keys', () => {
  const namespace = useNamespace();
  let load: ClusterLoad;
  beforeAll(async () => {
    await namespace.apply();
    await namespace.ready();
    load = await ClusterLoad.start(namespace, { 'https://frontend': 8, 'http://hello': 6, 'https://monolith': 6 });
  }, 300_000);

  const makeKey = () => randomBytes(32).toString('base64url');
  const change = (stringData: Record<string, string | null>) => {
    const data = Object.entries(stringData).map(([name, text]) => [name, text && Buffer.from(text).toString('base64')]);
    const patch = JSON.stringify({ data: Object.fromEntries(data) });
    return namespace.kubectl('patch', 'secret', 'jwt-keys', '--type=merge', `--patch=${patch}`);
  };
  /** Of pods with this label, one after the other, so that they learn of a change at different times. */
  async function read(what: string, value: number, app = 'in (auth, hello, monolith)'): Promise<void> {
    for (const pod of await namespace.pods(`app ${app}`)) {
      const url = `http://${await namespace.forward(nameOf(pod), 8081)}`;
      // The kubelet would look by itself within two minutes; a pod that was changed it looks at now.
      await namespace.kubectl('annotate', 'pod', nameOf(pod), '--overwrite', `looked-at=${Date.now()}`);
      await until(`${nameOf(pod)} has read it`, async () => (await metric(url, what)) === value, 150_000);
    }
  }
  /** How the pods answer a token, each by itself. */
  async function secure(token: string): Promise<number[]> {
    const pods = await namespace.pods('app in (hello, monolith)');
    const addresses = await Promise.all(pods.map((pod) => namespace.forward(nameOf(pod), 8080)));
    const answers = addresses.map((address) => send(`http://${address}/secure`, { headers: bearer(token) }));
    return (await Promise.all(answers)).map(({ status }) => status);
  }

  test('rotate in three phases: no valid token is refused, and those of the retired key are', {
    timeout: 600_000,
  }, async () => {
    const keys = await namespace.secret('jwt-keys');
    const retired = tokenOf({ kid: 'key-1', secret: keys['key-1'] ?? '' });
    expect(kidOf(retired)).toBe(keys.signer);
    const { failures, answered } = await load.during(async () => {
      await change({ 'key-2': makeKey() });
      await read('jwt_keys', 2);
      await change({ signer: 'key-2' });
      await read('reloads_total', 2);
      // As when the last token of the old key has expired.
      const { accepted } = await load.usesOnly('key-2');
      expect(accepted['key-2']).toBeGreaterThan(0);
      expect(await secure(retired)).toEqual([200, 200, 200]);
      await change({ 'key-1': null });
      await read('jwt_keys', 1);
      expect(await secure(retired)).toEqual([401, 401, 401]);
    });
    expect(failures).toEqual([]);
    expect(answered).toBeGreaterThan(0);
    for (const pod of await namespace.pods('app in (frontend, monolith)'))
      expect(restarts(pod)).toMatchObject({ nginx: 0 });
  });

  test('changed in one step refuse valid tokens, so that the test above can fail', { timeout: 300_000 }, async () => {
    const { failures } = await load.during(async () => {
      await change({ 'key-3': makeKey(), signer: 'key-3' });
      await read('jwt_keys', 2, 'in (auth)');
      await load.goesOn();
    });
    expect(failures).toContainEqual(expect.objectContaining({ failure: expect.stringContaining('401') }));
  });
});

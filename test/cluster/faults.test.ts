import { beforeAll, expect, test } from 'vitest';
import { describeWithCluster } from '../helpers/cluster.ts';
import { basic, bearer, send } from '../helpers/operations.ts';
import { tableOf, type } from './documented.ts';
import { ClusterLoad } from './load.ts';
import { nameOf, restarts, useNamespace } from './namespace.ts';

const titles: Record<string, string> = { 502: 'Bad Gateway', 504: 'Gateway Timeout' };
const problem = (status: number) => `${JSON.stringify({ status, title: titles[status] })}\n`;
const codeIn = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);
const patience = { timeout: 120_000, interval: 1000 };

describeWithCluster('what k8s/README.md says of', () => {
  const namespace = useNamespace();
  let load: ClusterLoad;
  let url: string;
  let ca: string;
  beforeAll(async () => {
    await namespace.apply();
    await namespace.ready();
    load = await ClusterLoad.start(namespace, { 'https://frontend': 8, 'https://monolith': 4 });
    url = `https://localhost:${(await namespace.inside('frontend:443')).split(':')[1]}`;
    ca = (await namespace.secret('tls-certs'))['ca.crt'] ?? '';
  }, 300_000);

  async function row(what: string) {
    const table = await tableOf('When something fails');
    const index = table.findIndex(([cell]) => cell === what);
    if (index < 0) throw new Error(`k8s/README.md has no row "${what}"`);
    const [, users = '', shows = '', cure = ''] = table[index] ?? [];
    const [command = '', words] = codeIn(shows);
    const before = cure.startsWith('the same, then ') ? codeIn(table[index - 1]?.[3] ?? '') : [];
    return { users: codeIn(users), command, words, cure: [...before, ...codeIn(cure)].join('\n') };
  }
  const answer = (path: string) => send(`${url}${path}`, { ca, headers: basic('user', 'password') });

  /** Waits until kubectl shows what the row says. */
  async function shows(what: string): Promise<void> {
    const { command, words } = await row(what);
    await expect.poll(() => type(namespace, command), patience).toContain(words);
  }

  /** Waits until requests are answered again: the nodes learn of pods a little after these are Ready. */
  const isWellAgain = () =>
    expect.poll(async () => (await load.during(() => load.goesOn())).failures, patience).toEqual([]);

  /** Does what the row says, until all is Ready and every node knows. */
  async function mend(what: string): Promise<void> {
    await type(namespace, (await row(what)).cure);
    await namespace.ready();
    await isWellAgain();
  }

  test.each([
    ['hello', (failure: string) => failure.includes('https://frontend/')],
    ['auth', (failure: string) => failure.includes('https://frontend/login')],
  ])('no pod of %s', { timeout: 300_000 }, async (app, isItsOwn) => {
    const what = `no pod of ${app} is there`;
    const { failures } = await load.during(async () => {
      await namespace.kubectl('scale', `deployment/${app}`, '--replicas=0');
      const [path = '', status = '', other = '', good = ''] = (await row(what)).users;
      const answered = async () => [path, (await answer(path)).status, other, (await answer(other)).status];
      await expect.poll(answered, patience).toEqual([path, Number(status), other, Number(good)]);
      expect(await answer(path)).toMatchObject({
        headers: { 'content-type': 'application/problem+json' },
        body: problem(Number(status)),
      });
      await load.goesOn();
      await shows(what);
      await mend(what);
    });
    const unexpected = failures.filter(({ failure }) => !isItsOwn(failure) || !failure.endsWith(problem(502)));
    expect(unexpected).toEqual([]);
    expect(failures).not.toEqual([]);
  });

  test.each([
    ['hello', (failure: string) => failure.includes('https://frontend/')],
    ['auth', (failure: string) => failure.includes('https://frontend/login')],
  ])('pods of %s that are killed', { timeout: 300_000 }, async (app, isItsOwn) => {
    const killed = (await namespace.pods(`app=${app}`)).map(nameOf);
    const { failures } = await load.during(async () => {
      await namespace.kubectl('delete', 'pod', ...killed, '--grace-period=0', '--force');
      await expect
        .poll(() => namespace.endpoints(app), patience)
        .toSatisfy((names: string[]) => {
          return names.length === 2 && !names.some((name) => killed.includes(name));
        });
      await isWellAgain();
    });
    const isProblem = (failure: string) => failure.endsWith(problem(502)) || failure.endsWith(problem(504));
    expect(failures.filter(({ failure }) => !isItsOwn(failure) || !isProblem(failure))).toEqual([]);
  });

  /** New pods of hello do not start, and users see nothing of it. */
  async function standsStill(what: string, change: () => Promise<unknown>): Promise<void> {
    expect((await row(what)).users).toEqual([]);
    const old = await namespace.endpoints('hello');
    const { failures } = await load.during(async () => {
      await change();
      await shows(what);
      const rollout = namespace.kubectl('rollout', 'status', 'deployment/hello', '--timeout=2s');
      await expect(rollout).rejects.toThrow('timed out waiting for the condition');
      expect(await namespace.endpoints('hello')).toEqual(old);
    });
    expect(failures).toEqual([]);
  }
  const restart = () => namespace.kubectl('rollout', 'restart', 'deployment/hello');

  test('an image that is not there', { timeout: 300_000 }, async () => {
    const what = 'an image is not there';
    await standsStill(what, () => namespace.kubectl('set', 'image', 'deployment/hello', 'hello=hello:9.9.9'));
    expect((await load.during(() => mend(what))).failures).toEqual([]);
  });

  test('a Secret that lacks an entry', { timeout: 400_000 }, async () => {
    const what = 'a Secret lacks an entry';
    await standsStill(what, async () => {
      await namespace.kubectl('patch', 'secret', 'jwt-keys', '--type=merge', '--patch={"data":{"signer":null}}');
      await restart();
    });
    expect((await load.during(() => mend(what))).failures).toEqual([]);
  });

  test('a Secret that is gone', { timeout: 400_000 }, async () => {
    const what = 'a Secret is gone';
    await standsStill(what, async () => {
      await namespace.kubectl('delete', 'secret', 'jwt-keys');
      await restart();
    });
    await mend(what);
    const again = async () => {
      const headers = bearer(JSON.parse((await answer('/login')).body).token);
      return (await send(`${url}/secure`, { ca, headers })).status;
    };
    await expect.poll(again, patience).toBe(200);
  });

  test('all of it: nginx was never restarted', async () => {
    for (const pod of await namespace.pods('app in (frontend, monolith)')) {
      expect(restarts(pod)).toMatchObject({ nginx: 0 });
    }
  });
});

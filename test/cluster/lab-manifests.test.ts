import { execFile } from 'node:child_process';
import { readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Materials, makeMaterials } from '../drivers/materials.ts';
import { describeWithCluster } from '../helpers/cluster.ts';
import { bearer, send } from '../helpers/operations.ts';
import { k8s, useNamespace } from './namespace.ts';

const patience = { timeout: 60_000, interval: 200 };

describeWithCluster('what the labs apply', () => {
  const namespace = useNamespace();
  let materials: Materials;
  const inside = async (service: string) => {
    const { port } = new URL(`https://${await namespace.inside(`${service}:443`)}`);
    return `https://localhost:${port}`;
  };

  beforeAll(async () => {
    materials = await makeMaterials();
    await symlink(join(k8s, '../docker'), join(materials.directory, 'docker'));
  });
  afterAll(() => materials.remove());

  test('comes up without the core set, once the commands in its comments were run', { timeout: 300_000 }, async () => {
    const commands = new Set<string>();
    for (const file of ['deployments/auth', 'deployments/frontend', 'pods/secure-monolith'])
      for (const [, command = ''] of (await readFile(join(k8s, `${file}.yaml`), 'utf8')).matchAll(
        /^# {3}kubectl (.*)$/gm,
      ))
        commands.add(command);
    expect(commands.size).toBe(5);
    for (const command of commands)
      await promisify(execFile)('kubectl', ['--namespace', namespace.name, ...command.split(' ')], {
        cwd: materials.directory,
      });
    for (const folder of ['services', 'deployments', 'pods']) await namespace.apply({ folder }, '--warnings-as-errors');
    await namespace.kubectl('wait', '--for=condition=Ready', 'pods', '--all', '--timeout=120s');
    await namespace.kubectl('rollout', 'status', 'deployment', '--timeout=120s');
  });

  test('the Service of the monolith leads nowhere until the pod has its label', async () => {
    expect(await namespace.endpoints('monolith')).toEqual([]);
    await namespace.kubectl('label', 'pod', 'secure-monolith', 'secure=enabled');
    await expect.poll(() => namespace.endpoints('monolith'), patience).toEqual(['secure-monolith']);
    const answer = async () => (await send(`${await inside('monolith')}/`, { ca: materials.ca })).status;
    await expect.poll(answer, patience).toBe(200);
  });

  test('a token of auth is good for hello, behind frontend', async () => {
    const url = await inside('frontend');
    const { body } = await send(`${url}/login`, { ca: materials.ca, auth: 'user:password' });
    const headers = bearer(JSON.parse(body).token);
    expect(await send(`${url}/secure`, { ca: materials.ca, headers })).toMatchObject({ status: 200 });
  });

  test('the Service hello leads to canary and green too, until it selects by version', async () => {
    expect(await namespace.endpoints('hello')).toHaveLength(5);
    const green = (await namespace.pods('app=hello,track=green')).map(({ metadata }) => metadata?.name);
    const canary = (await namespace.pods('app=hello,track=canary')).map(({ metadata }) => metadata?.name);
    const comment = await readFile(join(k8s, 'deployments/hello-green.yaml'), 'utf8');
    const patch = /^# {3}kubectl patch service hello --patch '(.*)'$/m.exec(comment)?.[1] ?? '';
    await namespace.kubectl('patch', 'service', 'hello', '--patch', patch);
    await expect.poll(() => namespace.endpoints('hello'), patience).toEqual([...canary, ...green].sort());
  });
});

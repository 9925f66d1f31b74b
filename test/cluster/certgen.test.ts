import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { type KubernetesObject, loadAllYaml, type V1Job, type V1Role } from '@kubernetes/client-node';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { day, makeServerCertificate, serverNames } from '../../packages/certgen/src/certificates.ts';
import type { ProcessLog } from '../drivers/log.ts';
import { describeWithCluster } from '../helpers/cluster.ts';
import { k8s, nameOf, useNamespace } from './namespace.ts';

const entries = ['ca.crt', 'ca.key', 'key-1', 'signer', 'tls.crt', 'tls.key'];
const patience = { timeout: 60_000, interval: 200 };

describeWithCluster('certgen', () => {
  const namespace = useNamespace();
  let documents: KubernetesObject[];
  let count = 0;
  const logs: ProcessLog[] = [];
  const secretsSeen = new Set<string>();

  beforeAll(async () => {
    documents = loadAllYaml(await readFile(join(k8s, '10-keys-and-certificates.yaml'), 'utf8'));
    for (const document of documents) if (document.kind !== 'Job') await namespace.add(document);
  });

  // As `kubectl apply` declares them: empty.
  beforeEach(async () => {
    for (const name of ['tls-certs', 'tls-ca', 'jwt-keys'])
      await namespace.kubectl('patch', 'secret', name, '--type=merge', '--patch={"data":null}');
  });

  const document = <T>(kind: string) => structuredClone(documents.find((one) => one.kind === kind)) as T;

  /** The Job under a name of its own, which stays when it is done. */
  async function startJob(): Promise<string> {
    count += 1;
    const name = `certgen-${count}`;
    const job = document<V1Job>('Job');
    job.metadata = { ...job.metadata, name };
    if (job.spec?.ttlSecondsAfterFinished !== undefined) job.spec.ttlSecondsAfterFinished = 3600;
    await namespace.add(job as KubernetesObject);
    return name;
  }

  /** Waits until it is done. @returns what it made, and what it kept */
  async function finish(name: string): Promise<Record<'made' | 'kept', string[]>> {
    await namespace.kubectl('wait', '--for=condition=Complete', `job/${name}`, '--timeout=120s');
    const pods = await namespace.core.listNamespacedPod({
      namespace: namespace.name,
      labelSelector: `job-name=${name}`,
    });
    const log = namespace.log(nameOf(pods.items[0] ?? {}), 'certgen');
    logs.push(log);
    await expect.poll(() => log.lines().length, patience).toBe(entries.length);
    await see();
    const those = (verb: string) =>
      log.lines().flatMap((line) => new RegExp(`^${verb} Secret [a-z-]+, (\\S+)`).exec(line)?.[1] ?? []);
    return { made: those('made').sort(), kept: those('kept').sort() };
  }

  const runOnce = async () => finish(await startJob());

  async function see(): Promise<{ tls: Record<string, string>; caKey: string; keys: Record<string, string> }> {
    const [tls, ca, keys] = await Promise.all(
      ['tls-certs', 'tls-ca', 'jwt-keys'].map((name) => namespace.secret(name)),
    );
    const caKey = ca?.['ca.key'] ?? '';
    for (const text of [caKey, tls?.['tls.key'], keys?.['key-1']]) if (text) secretsSeen.add(text);
    return { tls: tls ?? {}, caKey, keys: keys ?? {} };
  }

  /** All that is there fits together. */
  async function expectWhole() {
    const seen = await see();
    const { tls, caKey, keys } = seen;
    const ca = new X509Certificate(tls['ca.crt'] ?? '');
    const server = new X509Certificate(tls['tls.crt'] ?? '');
    expect(ca.checkPrivateKey(createPrivateKey(caKey))).toBe(true);
    expect(server.checkPrivateKey(createPrivateKey(tls['tls.key'] ?? ''))).toBe(true);
    expect(server.verify(ca.publicKey)).toBe(true);
    expect(server.validToDate.getTime()).toBeGreaterThan(Date.now() + 365 * day);
    expect(Buffer.byteLength(keys[keys.signer ?? ''] ?? '')).toBeGreaterThanOrEqual(32);
    return { ...seen, ca, server };
  }

  test('fills empty Secrets; the certificate names the Services, localhost and 127.0.0.1', async () => {
    expect(await runOnce()).toEqual({ made: entries, kept: [] });
    const { server } = await expectWhole();
    for (const name of ['localhost', '127.0.0.1', 'frontend', 'monolith', 'hello', 'auth'])
      expect(isIP(name) ? server.checkIP(name) : server.checkHost(name), name).toBe(name);
    expect(server.subjectAltName?.split(', ')).toHaveLength(serverNames.length);
  });

  test('keeps everything when it runs again', async () => {
    await runOnce();
    const before = await see();
    expect(await runOnce()).toEqual({ made: [], kept: entries });
    expect(await see()).toEqual(before);
  });

  test('five at once make one set, each part of it once', { timeout: 180_000 }, async () => {
    const jobs = await Promise.all(Array.from({ length: 5 }, startJob));
    const made = (await Promise.all(jobs.map(finish))).flatMap((result) => result.made);
    expect(made.sort()).toEqual(entries);
    await expectWhole();
  });

  test('what one that was killed half-way has left undone, the next does', { timeout: 180_000 }, async () => {
    // It may write the first Secret and not the second: there it is, half-way, until it is killed.
    const role = document<V1Role>('Role');
    const rule = { apiGroups: [''], resources: ['secrets'] };
    const half = [
      { ...rule, resourceNames: ['tls-ca', 'tls-certs', 'jwt-keys'], verbs: ['get'] },
      { ...rule, resourceNames: ['tls-ca'], verbs: ['patch'] },
    ];
    const setRules = (rules: unknown) =>
      namespace.kubectl('patch', 'role', 'certgen', '--type=merge', `--patch=${JSON.stringify({ rules })}`);
    await setRules(half);
    try {
      const name = await startJob();
      await expect.poll(async () => (await see()).caKey, patience).not.toBe('');
      const { caKey, tls } = await see();
      expect(tls).toEqual({});
      const [pod] = await namespace.pods(`job-name=${name}`);
      const log = namespace.log(nameOf(pod ?? {}), 'certgen');
      logs.push(log);
      const line =
        'certgen: Secret tls-certs: this service account may not PATCH it: the Role certgen must be bound to it';
      await expect.poll(() => log.lines(), patience).toEqual([line]);
      await namespace.kubectl('delete', 'pod', nameOf(pod ?? {}), '--grace-period=0', '--force');
      await setRules(role.rules);
      expect(await finish(name)).toEqual({ made: entries.filter((one) => one !== 'ca.key'), kept: ['ca.key'] });
      expect((await expectWhole()).caKey).toBe(caKey);
    } finally {
      await setRules(role.rules);
    }
  });

  test('makes a certificate that was taken away, and nothing else, under the same CA', async () => {
    await runOnce();
    const { tls, ...others } = await see();
    await namespace.kubectl('patch', 'secret', 'tls-certs', '--type=merge', '--patch={"data":{"tls.crt":null}}');
    expect(await runOnce()).toEqual({ made: ['tls.crt'], kept: entries.filter((one) => one !== 'tls.crt') });
    expect(await expectWhole()).toMatchObject({
      ...others,
      tls: { ...tls, 'tls.crt': expect.not.stringMatching(tls['tls.crt'] ?? '') },
    });
  });

  test('renews a certificate that is about to end, under the same CA', async () => {
    await runOnce();
    const { tls, caKey } = await see();
    const tenDaysLeft = await makeServerCertificate(
      createPrivateKey(tls['tls.key'] ?? ''),
      createPrivateKey(caKey),
      new X509Certificate(tls['ca.crt'] ?? ''),
      new Date(Date.now() - 387 * day),
    );
    const data = { 'tls.crt': Buffer.from(tenDaysLeft).toString('base64') };
    await namespace.kubectl('patch', 'secret', 'tls-certs', '--type=merge', `--patch=${JSON.stringify({ data })}`);
    expect((await runOnce()).made).toEqual(['tls.crt']);
    expect((await expectWhole()).tls['ca.crt']).toBe(tls['ca.crt']);
  });

  // In each run above, whatever it came across.
  test('has printed no key', () => {
    const text = logs.flatMap((log) => log.lines()).join('\n');
    expect(text).not.toBe('');
    expect(secretsSeen.size).toBeGreaterThan(10);
    expect(text).not.toMatch(/PRIVATE KEY/);
    for (const secret of secretsSeen) for (const line of secret.trim().split('\n')) expect(text).not.toContain(line);
  });
});

import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:tls';
import { beforeAll, expect, test } from 'vitest';
import { describeWithCluster } from '../helpers/cluster.ts';
import { commandsOf, type } from './documented.ts';
import { ClusterLoad } from './load.ts';
import { nameOf, restarts, useNamespace } from './namespace.ts';

describeWithCluster('the certificate', () => {
  const namespace = useNamespace();
  const nginx = 'app in (frontend, monolith)';
  let load: ClusterLoad;
  let ca: string;
  beforeAll(async () => {
    await namespace.apply();
    await namespace.ready();
    ca = (await namespace.secret('tls-certs'))['ca.crt'] ?? '';
    load = await ClusterLoad.start(namespace, { 'https://frontend': 10, 'https://monolith': 10 });
  }, 300_000);

  /** Of the certificates that the pods serve, to who trusts the CA of the beginning. */
  async function served(): Promise<string[]> {
    const serials = (await namespace.pods(nginx)).map(async (pod) => {
      const [host, port] = (await namespace.forward(nameOf(pod), 8443)).split(':');
      const socket = connect({ host, port: Number(port), ca, servername: 'localhost' });
      await once(socket, 'secureConnect');
      const { serialNumber } = socket.getPeerX509Certificate() as X509Certificate;
      socket.destroy();
      return serialNumber;
    });
    return [...new Set(await Promise.all(serials))];
  }

  const inSecret = async () => {
    const certificate = new X509Certificate((await namespace.secret('tls-certs'))['tls.crt'] ?? '');
    return { serial: certificate.serialNumber, end: certificate.validTo };
  };

  test('is renewed by the documented commands without a failed request', { timeout: 600_000 }, async () => {
    const old = await inSecret();
    expect(await served()).toEqual([old.serial]);
    const [end = '', ...commands] = await commandsOf('A new certificate');
    expect(await type(namespace, end)).toBe(`notAfter=${old.end}\n`);
    const { answered, failures } = await load.during(async () => {
      for (const command of commands) await type(namespace, command);
      // nginx reloads a moment after it was told to.
      await expect.poll(served, { timeout: 30_000, interval: 200 }).toEqual([(await inSecret()).serial]);
    });
    expect((await inSecret()).serial).not.toBe(old.serial);
    expect((await namespace.secret('tls-certs'))['ca.crt']).toBe(ca);
    expect(failures).toEqual([]);
    expect(answered).toBeGreaterThan(0);
    for (const pod of await namespace.pods(nginx)) expect(restarts(pod)).toMatchObject({ nginx: 0 });
  });
});

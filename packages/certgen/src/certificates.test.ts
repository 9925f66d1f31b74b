import 'reflect-metadata';
import { type KeyObject, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import * as x509 from '@peculiar/x509';
import { beforeAll, describe, expect, test } from 'vitest';
import { day, makeCaCertificate, makePrivateKey, makeServerCertificate, serverNames } from './certificates.ts';

const now = new Date();
let caKey: KeyObject;
let key: KeyObject;
let caPem: string;
let pem: string;

beforeAll(async () => {
  caKey = makePrivateKey();
  key = makePrivateKey();
  caPem = await makeCaCertificate(caKey, now);
  pem = await makeServerCertificate(key, caKey, new X509Certificate(caPem), now);
});

function extensions(text: string) {
  const certificate = new x509.X509Certificate(text);
  const get = <T extends x509.Extension>(type: new (...args: never[]) => T) =>
    certificate.extensions.find((extension) => extension instanceof type) as T;
  return {
    constraints: get(x509.BasicConstraintsExtension),
    usages: get(x509.KeyUsagesExtension),
    extendedUsages: get(x509.ExtendedKeyUsageExtension),
    names: get(x509.SubjectAlternativeNameExtension),
    subjectKey: get(x509.SubjectKeyIdentifierExtension),
    authorityKey: get(x509.AuthorityKeyIdentifierExtension),
  };
}

describe('the CA certificate', () => {
  test('is a self-signed P-256 CA that signs no further CA', () => {
    const ca = new X509Certificate(caPem);
    const { constraints, usages, subjectKey, authorityKey } = extensions(caPem);

    expect(ca.ca).toBe(true);
    expect(ca.checkPrivateKey(caKey)).toBe(true);
    expect(ca.checkIssued(ca) && ca.verify(ca.publicKey)).toBe(true);
    expect(ca.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(constraints).toMatchObject({ critical: true, ca: true, pathLength: 0 });
    expect(usages).toMatchObject({
      critical: true,
      usages: x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
    });
    expect(authorityKey.keyId).toBe(subjectKey.keyId);
  });

  test('is valid for ten years from an hour ago', () => {
    const { validFromDate, validToDate } = new X509Certificate(caPem);
    expect(now.getTime() - validFromDate.getTime()).toBeGreaterThanOrEqual(day / 24);
    expect(validToDate.getTime() - validFromDate.getTime()).toBe(3650 * day);
  });
});

describe('the server certificate', () => {
  test('is signed by the CA, for servers only', () => {
    const ca = new X509Certificate(caPem);
    const certificate = new X509Certificate(pem);
    const { constraints, usages, extendedUsages, subjectKey, authorityKey } = extensions(pem);

    expect(certificate.checkIssued(ca) && certificate.verify(ca.publicKey)).toBe(true);
    expect(certificate.checkPrivateKey(key)).toBe(true);
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(constraints).toMatchObject({ critical: true, ca: false });
    expect(usages).toMatchObject({ critical: true, usages: x509.KeyUsageFlags.digitalSignature });
    expect(extendedUsages.usages).toEqual([x509.ExtendedKeyUsage.serverAuth]);
    expect(authorityKey.keyId).toBe(extensions(caPem).subjectKey.keyId);
    expect(subjectKey.keyId).not.toBe(authorityKey.keyId);
  });

  test('names this machine and the Services, and nothing else', () => {
    const certificate = new X509Certificate(pem);
    for (const name of ['localhost', 'hello', 'auth', 'frontend', 'monolith']) {
      expect(certificate.checkHost(name), name).toBe(name);
    }
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(certificate.checkIP('::1')).toBe('::1');
    expect(certificate.checkHost('example.com')).toBeUndefined();
    expect(extensions(pem).names.names.items).toHaveLength(serverNames.length);
  });

  test('is valid for 397 days from an hour ago', () => {
    const { validFromDate, validToDate } = new X509Certificate(pem);
    expect(now.getTime() - validFromDate.getTime()).toBeGreaterThanOrEqual(day / 24);
    expect(validToDate.getTime() - validFromDate.getTime()).toBe(397 * day);
  });

  test('never outlives its CA', async () => {
    const ca = new X509Certificate(caPem);
    const late = new Date(ca.validToDate.getTime() - 100 * day);
    const certificate = new X509Certificate(await makeServerCertificate(key, caKey, ca, late));
    expect(certificate.validTo).toBe(ca.validTo);
  });

  test('has a serial number of its own, positive and within 20 octets', async () => {
    const ca = new X509Certificate(caPem);
    const made = await Promise.all(Array.from({ length: 50 }, () => makeServerCertificate(key, caKey, ca, now)));
    const serials = made.map((text) => new X509Certificate(text).serialNumber);

    expect(new Set(serials).size).toBe(50);
    for (const serial of serials) expect(serial).toMatch(/^(?=.*[1-9A-F])[0-9A-F]{16,40}$/);
  });
});

describe('a TLS handshake', () => {
  async function shake(servername: string, ca: string): Promise<string> {
    const server = createServer({ key: key.export({ type: 'pkcs8', format: 'pem' }), cert: pem });
    // A client that refuses the certificate ends the handshake, which is a server's error too.
    server.on('tlsClientError', () => {});
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const name = servername === '127.0.0.1' ? {} : { servername };
    const socket = connect({ host: '127.0.0.1', port, ca, minVersion: 'TLSv1.3', ...name });
    try {
      await once(socket, 'secureConnect');
      return 'accepted';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? 'refused';
    } finally {
      socket.destroy();
      server.close();
    }
  }

  test.for(serverNames.filter((name) => name !== '::1'))('as %s is accepted by a client with the CA', async (name) => {
    expect(await shake(name, caPem)).toBe('accepted');
  });

  test('as another host is refused', async () => {
    expect(await shake('example.com', caPem)).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
  });

  test('is refused by a client with another CA of the same name', async () => {
    expect(await shake('localhost', await makeCaCertificate(makePrivateKey(), now))).toMatch(/UNABLE_TO_|SIGNATURE/);
  });
});

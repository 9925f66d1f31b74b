// @peculiar/x509 does not load unless the polyfill is there first.
import 'reflect-metadata';
import { createPublicKey, generateKeyPairSync, type KeyObject, type X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

/** What the server certificate names: this machine, and the Services that clients and proxies ask for. */
export const serverNames = ['localhost', '127.0.0.1', '::1', 'hello', 'auth', 'frontend', 'monolith'];

/** In milliseconds, as are all durations here. */
export const day = 24 * 60 * 60 * 1000;
const caLifetime = 3650 * day;
// Apple refuses more than 825 days under a CA of one's own, browsers refuse more than 398 under a public one. This is
// within both, and a workshop that is given once a year finds last year's certificate still valid.
const serverLifetime = 397 * day;
// For clients whose clock is behind, such as a virtual machine that slept.
const clockSkew = day / 24;

/** Servers' certificates carry it as their issuer. */
export const caName = 'CN=Kubernetes 101 CA';
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** A new private key, on P-256. */
export function makePrivateKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** The certificate (PEM) of a CA that signs servers and no further CA, valid for ten years. */
export function makeCaCertificate(key: KeyObject, now: Date): Promise<string> {
  const notBefore = new Date(now.getTime() - clockSkew);
  const notAfter = new Date(notBefore.getTime() + caLifetime);
  return sign(key, key, { subject: caName, notBefore, notAfter }, [
    new x509.BasicConstraintsExtension(true, 0, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  ]);
}

/** The certificate (PEM) of a server with `serverNames`, valid for 397 days and never longer than its CA. */
export function makeServerCertificate(
  key: KeyObject,
  caKey: KeyObject,
  ca: X509Certificate,
  now: Date,
): Promise<string> {
  const notBefore = new Date(now.getTime() - clockSkew);
  const notAfter = new Date(Math.min(notBefore.getTime() + serverLifetime, ca.validToDate.getTime()));
  return sign(key, caKey, { subject: 'CN=Kubernetes 101', notBefore, notAfter }, [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
    new x509.SubjectAlternativeNameExtension(serverNames.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value }))),
  ]);
}

async function sign(
  key: KeyObject,
  caKey: KeyObject,
  certificate: { subject: string; notBefore: Date; notAfter: Date },
  extensions: x509.Extension[],
): Promise<string> {
  const publicKey = createPublicKey(key).toCryptoKey(ecdsa, true, ['verify']);
  const caPublicKey = createPublicKey(caKey).toCryptoKey(ecdsa, true, ['verify']);
  // The library draws the serial number: 16 random bytes, positive, within the 20 octets of RFC 5280, 4.1.2.2.
  const signed = await x509.X509CertificateGenerator.create({
    ...certificate,
    issuer: caName,
    publicKey,
    signingKey: caKey.toCryptoKey(ecdsa, true, ['sign']),
    extensions: [
      ...extensions,
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(caPublicKey),
    ],
  });
  return `${signed.toString('pem')}\n`;
}

import 'reflect-metadata';
import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { describe, expect, test } from 'vitest';
import { day } from './certificates.ts';
import { type Entry, FileProblem, type Files } from './file-set.ts';
import { completeTls } from './tls.ts';

const now = new Date();
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const paths = ['ca/ca.key', 'tls/tls.key', 'tls/ca.crt', 'tls/tls.crt'];

const asFiles = (entries: Entry[]): Files => new Map(entries.map(({ path, text }) => [path, text]));
const makeSet = async (at = now) => asFiles(await completeTls(new Map(), at));
const made = (entries: Entry[]) => entries.filter(({ why }) => why !== undefined).map(({ path }) => path);
const why = (entries: Entry[], path: string) => entries.find((entry) => entry.path === path)?.why;
const certificate = (files: Files, path: string) => new X509Certificate(files.get(path) ?? '');

/** Completes `files`, and proves that the outcome is whole: nothing is left to make. */
async function complete(files: Files, at = now) {
  const entries = await completeTls(files, at);
  expect(made(await completeTls(asFiles(entries), at))).toEqual([]);
  return entries;
}

test('everything is made where nothing is, keys before the certificates made for them', async () => {
  const entries = await complete(new Map());
  expect(made(entries)).toEqual(paths);
  expect(entries.map((entry) => entry.why)).toEqual(paths.map(() => 'was missing'));
});

describe('a file that is missing, empty or cut short', () => {
  const remade: Record<string, string[]> = {
    'ca/ca.key': ['ca/ca.key', 'tls/ca.crt', 'tls/tls.crt'],
    'tls/tls.key': ['tls/tls.key', 'tls/tls.crt'],
    'tls/ca.crt': ['tls/ca.crt'],
    'tls/tls.crt': ['tls/tls.crt'],
  };

  test.for(paths)('%s is made anew with what was made for it', async (path) => {
    const whole = await makeSet();
    const text = whole.get(path) ?? '';
    const without = new Map(whole);
    without.delete(path);
    for (const files of [
      without,
      ...['', text.slice(0, 100), 'no PEM'].map((half) => new Map(whole).set(path, half)),
    ]) {
      const entries = await complete(files);
      expect(made(entries)).toEqual(remade[path]);
      expect(why(entries, path)).toBe(files.has(path) ? 'could not be read' : 'was missing');
    }
  });

  test('a run that was cut short after any file is finished by the next, with the keys that it made', async () => {
    const whole = [...(await makeSet())];
    for (let count = 0; count <= whole.length; count++) {
      const entries = await complete(new Map(whole.slice(0, count)));
      expect(made(entries)).toEqual(paths.slice(count));
    }
  });

  test('a new CA certificate for the same CA key keeps the server certificate valid', async () => {
    const whole = await makeSet();
    const renewed = asFiles(await complete(new Map([...whole].filter(([path]) => path !== 'tls/ca.crt'))));
    expect(renewed.get('tls/ca.crt')).not.toBe(whole.get('tls/ca.crt'));
    expect(renewed.get('tls/tls.crt')).toBe(whole.get('tls/tls.crt'));
  });
});

describe('files of different runs', () => {
  test.for([
    ['tls/tls.key', 'tls/tls.crt', 'did not match its key'],
    ['tls/tls.crt', 'tls/tls.crt', 'did not match its key'],
    ['ca/ca.key', 'tls/ca.crt', 'did not match its key'],
    ['tls/ca.crt', 'tls/ca.crt', 'did not match its key'],
  ] as const)('another %s: %s is made anew, for it %s', async ([foreign, renewed, reason]) => {
    const other = await makeSet();
    const entries = await complete(new Map(await makeSet()).set(foreign, other.get(foreign) ?? ''));
    expect(why(entries, renewed)).toBe(reason);
    expect(made(entries)).not.toContain('ca/ca.key');
    expect(made(entries)).not.toContain('tls/tls.key');
  });

  test('another CA: the server certificate is made anew under it', async () => {
    const other = await makeSet();
    const mixed = new Map(await makeSet());
    for (const path of ['ca/ca.key', 'tls/ca.crt']) mixed.set(path, other.get(path) ?? '');
    const entries = await complete(mixed);
    expect(made(entries)).toEqual(['tls/tls.crt']);
    expect(why(entries, 'tls/tls.crt')).toBe('was not signed by this CA');
  });

  test('a server certificate in the place of the CA is replaced', async () => {
    const whole = await makeSet();
    const entries = await complete(new Map(whole).set('tls/ca.crt', whole.get('tls/tls.crt') ?? ''));
    expect(why(entries, 'tls/ca.crt')).toBe('was no CA of ours');
  });

  test('a CA of another name is replaced for the same key, and the server certificate that names it too', async () => {
    const whole = await makeSet();
    const cryptoKey = (path: string) => createPrivateKey(whole.get(path) ?? '').toCryptoKey(ecdsa, true, ['sign']);
    const cryptoPublicKey = (path: string) =>
      createPublicKey(whole.get(path) ?? '').toCryptoKey(ecdsa, true, ['verify']);
    const signed = async (path: string, keyPath: string) => {
      const { extensions, notBefore, notAfter, subject } = new x509.X509Certificate(whole.get(path) ?? '');
      const certificate = await x509.X509CertificateGenerator.create({
        ...{ notBefore, notAfter, extensions, issuer: 'CN=Mine' },
        subject: path === 'tls/ca.crt' ? 'CN=Mine' : subject,
        publicKey: cryptoPublicKey(keyPath),
        signingKey: cryptoKey('ca/ca.key'),
      });
      return certificate.toString('pem');
    };
    const mine = new Map(whole)
      .set('tls/ca.crt', await signed('tls/ca.crt', 'ca/ca.key'))
      .set('tls/tls.crt', await signed('tls/tls.crt', 'tls/tls.key'));

    const entries = await complete(mine);
    expect(made(entries)).toEqual(['tls/ca.crt', 'tls/tls.crt']);
    expect(why(entries, 'tls/tls.crt')).toBe('was not signed by this CA');
  });

  test('a certificate whose signature is spoilt is replaced', async () => {
    const whole = await makeSet();
    const spoilt = Buffer.from(certificate(whole, 'tls/tls.crt').raw);
    spoilt[spoilt.length - 1] = (spoilt.at(-1) ?? 0) ^ 1;
    const entries = await complete(new Map(whole).set('tls/tls.crt', new X509Certificate(spoilt).toString()));
    expect(why(entries, 'tls/tls.crt')).toBe('was not signed by this CA');
  });

  test('a server certificate without the names of a server is replaced', async () => {
    const whole = await makeSet();
    const sameKey = new Map(whole).set('tls/tls.key', whole.get('ca/ca.key') ?? '');
    const entries = await complete(sameKey.set('tls/tls.crt', whole.get('tls/ca.crt') ?? ''));
    expect(why(entries, 'tls/tls.crt')).toBe('did not name localhost');
  });
});

describe('time', () => {
  test('a server certificate with more than 30 days to live is kept', async () => {
    const whole = await makeSet();
    const at = new Date(certificate(whole, 'tls/tls.crt').validToDate.getTime() - 31 * day);
    expect(made(await complete(whole, at))).toEqual([]);
  });

  test.for([
    ['is about to end', -29],
    ['has ended', 400],
  ] as const)('a server certificate that %s is renewed under the same CA, for the same key', async ([, days]) => {
    const whole = await makeSet();
    const old = certificate(whole, 'tls/tls.crt');
    const entries = await complete(whole, new Date(old.validToDate.getTime() + days * day));

    expect(made(entries)).toEqual(['tls/tls.crt']);
    expect(why(entries, 'tls/tls.crt')).toBe(`was valid until ${old.validToDate.toISOString()} only`);
    const renewed = certificate(asFiles(entries), 'tls/tls.crt');
    expect(renewed.verify(certificate(whole, 'tls/ca.crt').publicKey)).toBe(true);
    expect(renewed.validToDate > old.validToDate).toBe(true);
  });

  test('a CA that is about to end is renewed for the same key, and its server certificate too', async () => {
    const whole = await makeSet();
    const end = certificate(whole, 'tls/ca.crt').validToDate.getTime();
    const entries = await complete(whole, new Date(end - 29 * day));
    expect(made(entries)).toEqual(['tls/ca.crt', 'tls/tls.crt']);
  });

  test('certificates made while the clock was ahead are replaced', async () => {
    const entries = await complete(await makeSet(new Date(now.getTime() + 2 * day)));
    expect(made(entries)).toEqual(['tls/ca.crt', 'tls/tls.crt']);
    expect(why(entries, 'tls/tls.crt')).toMatch(/^was not valid before /);
  });
});

describe('a private key of somebody else', () => {
  const pkcs8 = { type: 'pkcs8', format: 'pem' } as const;
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pkcs8) as string;
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const encrypted = p256.export({ ...pkcs8, cipher: 'aes-256-cbc', passphrase: 'secret' }) as string;

  test.for([
    ['RSA', rsa],
    ['encrypted', encrypted],
  ] as const)('that is %s is left alone, with an error', async ([, text]) => {
    for (const path of ['ca/ca.key', 'tls/tls.key']) {
      const error = await completeTls(new Map([[path, text]]), now).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(FileProblem);
      expect(error).toMatchObject({ path, message: expect.stringContaining('move it away') });
    }
  });

  test('that is on P-256 in another encoding is used', async () => {
    const text = p256.export({ type: 'sec1', format: 'pem' }) as string;
    const entries = await complete(new Map([['tls/tls.key', text]]));
    expect(made(entries)).toEqual(['ca/ca.key', 'tls/ca.crt', 'tls/tls.crt']);
    expect(certificate(asFiles(entries), 'tls/tls.crt').checkPrivateKey(p256)).toBe(true);
  });
});

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { caName, day, makeCaCertificate, makePrivateKey, makeServerCertificate, serverNames } from './certificates.ts';
import { type Entry, FileProblem, type Files } from './file-set.ts';

const renewalPeriod = 30 * day;

/**
 * The files of a CA and a server in the order in which to write them, made where missing or unfit.
 *
 * A private key that can be read is never replaced, and a certificate is made for the key that is there: so a renewal
 * has no moment in which the two do not match, and what a killed run left undone shows at the next one.
 *
 * @throws {FileProblem} for a private key of another kind, which is somebody's own.
 */
export async function completeTls(found: Files, now: Date): Promise<Entry[]> {
  const caKey = completeKey('ca/ca.key', found.get('ca/ca.key'));
  const caCrt = await completeCertificate(
    'tls/ca.crt',
    found.get('tls/ca.crt'),
    (certificate) =>
      certificate.subject === caName ? unfit(certificate, caKey.key, certificate, now) : 'was no CA of ours',
    () => makeCaCertificate(caKey.key, now),
  );
  const ca = new X509Certificate(caCrt.text);
  const tlsKey = completeKey('tls/tls.key', found.get('tls/tls.key'));
  const tlsCrt = await completeCertificate(
    'tls/tls.crt',
    found.get('tls/tls.crt'),
    (certificate) => unfit(certificate, tlsKey.key, ca, now) ?? misnamed(certificate),
    () => makeServerCertificate(tlsKey.key, caKey.key, ca, now),
  );
  return [caKey, tlsKey, caCrt, tlsCrt];
}

function completeKey(path: string, text: string | undefined): Entry & { key: KeyObject } {
  const kept = readKey(path, text);
  if (text !== undefined && kept !== undefined) return { path, text, key: kept };
  const key = makePrivateKey();
  const why = text === undefined ? 'was missing' : 'could not be read';
  return { path, text: key.export({ type: 'pkcs8', format: 'pem' }), key, why };
}

function readKey(path: string, text = ''): KeyObject | undefined {
  try {
    const key = createPrivateKey(text);
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch {
    if (!text.includes('ENCRYPTED')) return undefined;
  }
  throw new FileProblem(path, 'holds a private key that is encrypted or not on P-256: move it away to get a new one');
}

async function completeCertificate(
  path: string,
  text: string | undefined,
  check: (certificate: X509Certificate) => string | undefined,
  make: () => Promise<string>,
): Promise<Entry> {
  let why: string | undefined = 'was missing';
  try {
    if (text !== undefined) why = check(new X509Certificate(text));
  } catch {
    why = 'could not be read';
  }
  return { path, text: text === undefined || why !== undefined ? await make() : text, why };
}

function unfit(certificate: X509Certificate, key: KeyObject, ca: X509Certificate, now: Date): string | undefined {
  const { validFromDate: start, validToDate: end } = certificate;
  if (!certificate.checkPrivateKey(key)) return 'did not match its key';
  if (!certificate.checkIssued(ca) || !certificate.verify(ca.publicKey)) return 'was not signed by this CA';
  if (start > now) return `was not valid before ${start.toISOString()}`;
  return end.getTime() - now.getTime() < renewalPeriod ? `was valid until ${end.toISOString()} only` : undefined;
}

function misnamed(certificate: X509Certificate): string | undefined {
  const missing = serverNames.find((name) => !(isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name)));
  return missing && `did not name ${missing}`;
}

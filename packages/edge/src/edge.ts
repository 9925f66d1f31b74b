import { createPrivateKey, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import httpProxy from '@fastify/http-proxy';
import { type Flag, Problem, type Program, readRegularFile, type TlsOptions } from '@kubernetes-101/service';
import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify';

const upstream = (name: string): Flag<string> => ({
  help: `where ${name} listens`,
  placeholder: 'URL',
  fallback: `http://${name}`,
  parse: (text) => {
    if (!URL.canParse(text) || !/^https?:\/\/[^/]+\/?$/.test(text))
      throw new Error('is no URL such as http://127.0.0.1:8080');
    return text;
  },
});

const flags = {
  hello: upstream('hello'),
  auth: upstream('auth'),
  tls: { help: 'directory of tls.crt and tls.key', placeholder: 'DIR', fallback: 'tls', parse: (text: string) => text },
};

/** TLS 1.3's own suites, and of TLS 1.2 those with forward secrecy and AEAD (RFC 9325 §4.2). */
const ciphers = [
  'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** Bytes: a certificate with a long chain. */
const LARGEST_FILE = 131_072;

function parsed<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new Error(`${name} is no PEM (${(error as Error).message})`);
  }
}

/** @throws Error saying what is wrong with the certificate or its key */
function readTls(directory: string): TlsOptions {
  const read = (name: string) => readRegularFile(join(directory, name), LARGEST_FILE);
  const [cert, key] = [read('tls.crt'), read('tls.key')];
  const certificate = parsed('tls.crt', () => new X509Certificate(cert));
  const privateKey = parsed('tls.key', () => createPrivateKey(key));
  if (certificate.validToDate < new Date()) throw new Error(`the certificate ended on ${certificate.validTo}`);
  if (!certificate.checkPrivateKey(privateKey)) throw new Error('tls.key does not belong to tls.crt');
  return { cert, key, ciphers, minVersion: 'TLSv1.2' };
}

/** Of this connection only (RFC 9110 §7.6.1), of a body that stays behind since no path reads one, or not for clients to say. */
const notForwarded = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect'],
  ...['content-length', 'content-type', 'forwarded', 'proxy-authorization'],
]);

function requestHeaders(request: FastifyRequest, headers: Record<string, unknown>) {
  return {
    ...Object.fromEntries(Object.entries(headers).filter(([name]) => !notForwarded.has(name))),
    // Left out where a client's Connection names it; neither nginx nor the services care for that.
    ...(request.headers.authorization !== undefined && { authorization: request.headers.authorization }),
    'x-request-id': request.id,
    'x-forwarded-for': request.ip,
    'x-forwarded-host': request.host,
    'x-forwarded-proto': 'https',
  };
}

function responseHeaders({ connection, 'keep-alive': keepAlive, ...rest }: Record<string, unknown>) {
  return rest;
}

function onError(reply: FastifyReply, { error }: { error: { statusCode?: number } }) {
  reply.send(new Problem(error.statusCode === 504 ? 504 : 502));
}

/** A path that URL parsing would change (`/x/../login`, `//login`) is none of ours, and would reach another one upstream. */
function refuseChanged(request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void) {
  const [path = ''] = request.url.split(/[?#]/, 1);
  const plain = URL.parse(`http://upstream${path}`)?.pathname === path && !/\/\/|\.\.|%2f/i.test(path);
  done(plain ? undefined : new Problem(404));
}

const proxy =
  (to: string, route: string): FastifyPluginCallback =>
  (app, _options, done) => {
    app.register(httpProxy, {
      upstream: to,
      routes: [route],
      httpMethods: app.supportedMethods,
      proxyPayloads: false,
      // By default a GET that was answered 503 with Retry-After is sent ten times more.
      retryMethods: [],
      disableRequestLogging: true,
      preHandler: refuseChanged,
      undici: { connect: { timeout: 2000 }, headersTimeout: 10_000, bodyTimeout: 10_000 },
      destroyAgent: true,
      replyOptions: { rewriteRequestHeaders: requestHeaders, rewriteHeaders: responseHeaders, onError },
    } as never);
    done();
  };

/** The split form's front where there is no nginx: TLS, and two routes. */
export const edge: Program<typeof flags> = {
  name: 'edge',
  flags,
  start: (_service, { hello, auth, tls }) => {
    try {
      return { routes: [proxy(auth, '/login'), proxy(hello, '*')], tls: readTls(tls) };
    } catch (error) {
      throw new Error(`-tls ${tls}: ${(error as Error).message}; make certs makes a certificate`);
    }
  },
};

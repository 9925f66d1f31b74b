import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { type FastifyInstance, type FastifyPluginCallback, type FastifyReply, fastify } from 'fastify';
import type { Address } from './command-line.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { METHODS as ALL_METHODS } from './node-http.ts';
import { Problem, toProblem } from './problems.ts';
import { answeredElsewhere, type Requests, requestId, responseInProgress } from './requests.ts';
import { pathOf, Routes } from './routes.ts';

/** The methods of the application's paths. The original answered POST (`curl -d ''`) like GET, and so does this one. */
export const METHODS = ['GET', 'HEAD', 'POST'];

const KIB = 1024;
const SECOND = 1000;

/** Limits of every listener; why these: nginx in front keeps idle connections for 5 s, answers are awaited for 10 s. */
const limits = {
  bodyLimit: 4 * KIB,
  keepAliveTimeout: 75 * SECOND,
  requestTimeout: 15 * SECOND,
};
const serverLimits = {
  headersTimeout: 10 * SECOND,
  connectionsCheckingInterval: SECOND,
  maxHeaderSize: 8 * KIB,
  // Node's own answer to a missing Host is no problem document: checkHeaders answers instead.
  requireHostHeader: false,
};

export type TlsOptions = Pick<SecureContextOptions, 'cert' | 'key' | 'ciphers' | 'minVersion'>;

export interface ListenerOptions {
  routes: FastifyPluginCallback[];
  requests: Requests;
  log: Log;
  metrics: Metrics;
  tls?: TlsOptions;
}

export interface Listener {
  app: FastifyInstance;
  routes: Routes;
}

/**
 * A fastify application with all that the listeners share: limits, request ids, log lines and metrics, errors as
 * problem documents, 404 and 405, and answers to what cannot be parsed.
 */
export function createListener({ routes: plugins, requests, log, metrics, tls }: ListenerOptions): Listener {
  const routes = new Routes();
  const app = fastify({
    ...limits,
    ...(tls === undefined
      ? { http: serverLimits }
      : { https: { ...serverLimits, handshakeTimeout: 10 * SECOND, ...tls } }),
    // Requests are logged by `Requests`; with a logger of its own fastify would watch every answer once more.
    logger: false,
    genReqId: requestId,
    requestIdHeader: false,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    frameworkErrors: (error, _request, reply) => answer(reply, toProblem(error)),
    clientErrorHandler: (error, socket) => answerMalformed(error, socket, { log, metrics }),
  }) as unknown as FastifyInstance;

  // Every method is routed and answered, and every body read (up to the limit) and ignored, a GET's too.
  for (const method of ALL_METHODS) app.addHttpMethod(method, { hasBody: method !== 'QUERY', overrideExisting: true });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, _body, done) => done(null, undefined));
  app.setReplySerializer((payload) => `${JSON.stringify(payload)}\n`);

  app.addHook('onRoute', (route) => routes.add(route));
  app.addHook('onRequest', (request, reply, done) => {
    // No route reads a body, so its type may be anything; fastify would refuse what it cannot parse.
    if (request.headers['content-type'] !== undefined) delete request.headers['content-type'];
    reply.header('x-request-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    done(checkHeaders(request.raw) ?? (request.is404 ? noRoute(routes, request.url) : undefined));
  });
  app.setErrorHandler((error, request, reply) => {
    const problem = toProblem(error);
    if (problem.status === 500) log.error({ err: error, requestId: request.id }, 'request failed');
    answer(reply, problem);
  });
  for (const plugin of plugins) app.register(plugin);

  const server = app.server as Server;
  requests.track(server, routes);
  // The router knows neither; as ordinary requests they get an ordinary refusal.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.on('connect', (_request, socket: Socket) => {
    // Node takes its own listener away before it hands the socket over: a reset would end the process.
    socket.on('error', () => socket.destroy());
    refuse(socket, new Problem(405, { headers: { allow: METHODS.join(', ') } }));
  });
  return { app, routes };
}

/** Listens, and says where. @throws Error with a sentence that says which address and what to do */
export async function listen({ app }: Listener, flag: string, { host, port }: Address): Promise<string> {
  const attempt = (to: string) => app.listen({ host: to, port });
  try {
    await (host === undefined
      ? attempt('::').catch((error: NodeJS.ErrnoException) => {
          // No IPv6 on this machine.
          if (error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL') return attempt('0.0.0.0');
          throw error;
        })
      : attempt(host));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const why: Record<string, string> = {
      EADDRINUSE: 'the port is taken',
      EACCES: 'ports below 1024 need privileges',
      EADDRNOTAVAIL: 'this machine has no such address',
      ENOTFOUND: 'there is no such host',
    };
    throw new Error(`cannot listen on ${host ?? ''}:${port}: ${why[code] ?? code}; choose another with -${flag}`);
  }
  const bound = app.server.address();
  if (bound === null || typeof bound === 'string') return String(bound);
  return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
}

function answer(reply: FastifyReply, problem: Problem): void {
  reply
    .code(problem.status)
    .headers({
      'x-request-id': reply.request.id,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'content-type': problem.contentType,
      ...problem.headers,
    })
    // As bytes: to a text of a JSON type fastify adds a charset, which the type does not have (RFC 9457 §3).
    .send(Buffer.from(problem.body));
}

function noRoute(routes: Routes, target: string): Problem {
  const route = routes.find(pathOf(target));
  if (route === undefined) return new Problem(404);
  return new Problem(405, { headers: { allow: routes.methods(route).join(', ') } });
}

/** What Node lets through: no or several Hosts (RFC 9112 §3.2), several Authorizations, an unknown Expect (RFC 9110 §10.1.1). */
function checkHeaders({ rawHeaders, headers, httpVersion }: IncomingMessage): Problem | undefined {
  let hosts = 0;
  let authorizations = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1;
    else if (name.length === 13 && name.toLowerCase() === 'authorization') authorizations += 1;
  }
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1'))
    return new Problem(400, { detail: 'exactly one Host header is needed' });
  if (authorizations > 1) return new Problem(400, { detail: 'more than one Authorization header' });
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') return new Problem(417);
  return undefined;
}

const REFUSED = Symbol('refused');

const malformedStatus: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

function answerMalformed(
  error: NodeJS.ErrnoException,
  socket: Socket & { [REFUSED]?: boolean },
  { log, metrics }: Pick<ListenerOptions, 'log' | 'metrics'>,
): void {
  if (socket[REFUSED]) return;
  // Else it is a failed TLS handshake, or a client that went away: nobody could read an answer.
  const parsing = error.code?.startsWith('HPE_') || error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const halfSent = error.code === 'HPE_INVALID_EOF_STATE' && responseInProgress(socket) !== undefined;
  if (!parsing || halfSent || !socket.writable) {
    socket.destroy();
    return;
  }
  // What follows on this connection is reported again and again.
  socket[REFUSED] = true;
  const status = malformedStatus[error.code ?? ''] ?? 400;
  metrics.malformedRequests.inc({ status });
  log.info({ status, code: error.code }, 'malformed request');
  refuse(socket, new Problem(status));
}

/** Answers what is no request, or only half of one, when its turn comes, and ends the connection. */
function refuse(socket: Socket, problem: Problem): void {
  const last = responseInProgress(socket);
  if (last === undefined) {
    endWith(socket, problem);
  } else if (last.req.complete) {
    // The good request before this one gets its own answer, and the connection ends with it.
    last.shouldKeepAlive = false;
    last.once('close', () => socket.destroy());
  } else {
    answeredElsewhere(last, problem.status);
    if (last.socket === null) last.once('socket', () => endWith(socket, problem));
    else endWith(socket, problem);
  }
}

/** Answers on a socket that no request belongs to, and ends it. */
function endWith(socket: Socket, problem: Problem): void {
  const headers = {
    'content-type': problem.contentType,
    'content-length': Buffer.byteLength(problem.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    connection: 'close',
    ...problem.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const title = JSON.parse(problem.body).title;
  socket.end(`HTTP/1.1 ${problem.status} ${title}\r\n${lines.join('')}\r\n${problem.body}`, () => socket.destroy());
}

import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { type FastifyInstance, type FastifyPluginCallback, type FastifyReply, fastify } from 'fastify';
import type { Address } from './command-line.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { METHODS as ALL_METHODS, createServer } from './node-http.ts';
import { Problem, toProblem } from './problems.ts';
import { type Requests, requestId, responseInProgress, TrackedResponse } from './requests.ts';
import { pathOf, Routes } from './routes.ts';

/** The methods of the application's paths. The original answered POST (`curl -d ''`) like GET, and so does this one. */
export const METHODS = ['GET', 'HEAD', 'POST'];

const KIB = 1024;
const SLASH = 47;
const SECOND = 1000;

/** Limits of every listener; why these: nginx in front keeps idle connections for 5 s, and waits 10 s for an answer. */
const limits = {
  headersTimeout: 10 * SECOND,
  requestTimeout: 15 * SECOND,
  keepAliveTimeout: 75 * SECOND,
  connectionsCheckingInterval: SECOND,
  maxHeaderSize: 8 * KIB,
  // Node's own answer to a missing Host is no problem document: `check` answers instead.
  requireHostHeader: false,
};
const bodyLimit = 4 * KIB;
/** Less than the shutdown timeout, so that a connection that never begins with TLS holds no process up. */
const handshakeTimeout = 5 * SECOND;

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
  // Fastify routes; what every request needs happens before, where it costs a third of a hook.
  const serverFactory = (route: RequestListener) => {
    const handle = (request: IncomingMessage, response: ServerResponse) => {
      if (!requests.begin(request, response as TrackedResponse, routes)) {
        if (!request.socket.destroyed) log.info('connection ended: too many requests ahead of their answers');
        request.socket.destroy();
        return;
      }
      const problem = check(request);
      // The body of neither is read, nor what follows it: fastify has rules of its own for that of QUERY.
      if (problem !== undefined || request.method === 'QUERY') response.shouldKeepAlive = false;
      if (problem === undefined) route(request, response);
      else response.writeHead(problem.status, headersOf(problem)).end(problem.body);
    };
    const options = { ...limits, ServerResponse: TrackedResponse };
    return tls === undefined
      ? createServer(options, handle)
      : createTlsServer({ ...options, ...tls, handshakeTimeout }, handle);
  };
  const app = fastify({
    serverFactory,
    bodyLimit,
    // Requests are logged by `Requests`; with a logger of its own fastify would watch every answer once more.
    logger: false,
    genReqId: requestId,
    requestIdHeader: false,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    frameworkErrors: (error, _request, reply) => answer(reply, toProblem(error)),
    clientErrorHandler: (error, socket) => answerMalformed(error, socket, { requests, log, metrics }),
  }) as unknown as FastifyInstance;

  // Every method is routed and answered, and every body read (up to the limit) and ignored, a GET's too.
  for (const method of ALL_METHODS) app.addHttpMethod(method, { hasBody: method !== 'QUERY', overrideExisting: true });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, _body, done) => done(null, undefined));
  app.setReplySerializer((payload) => `${JSON.stringify(payload)}\n`);

  app.addHook('onRoute', (route) => routes.add(route));
  app.setNotFoundHandler((request) => {
    throw noRoute(routes, request.url);
  });
  app.setErrorHandler((error, request, reply) => {
    const problem = toProblem(error);
    if (problem.status === 500) log.error({ err: error, requestId: request.id }, 'request failed');
    answer(reply, problem);
  });
  for (const plugin of plugins) app.register(plugin);

  const server = app.server as Server;
  // The router knows neither; as ordinary requests they get an ordinary refusal.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.on('connect', (_request, socket: Socket) => {
    // Node takes its own listener away before it hands the socket over: a reset would end the process.
    socket.on('error', () => socket.destroy());
    refuse(socket, new Problem(405, { headers: { allow: METHODS.join(', ') } }), idFor(socket, requests));
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
  // As bytes: to a text of a JSON type fastify adds a charset, which the type does not have (RFC 9457 §3).
  reply.code(problem.status).headers(headersOf(problem)).send(Buffer.from(problem.body));
}

const headersOf = (problem: Problem) => ({
  'content-type': problem.contentType,
  'content-length': Buffer.byteLength(problem.body),
  'cache-control': 'no-store',
  ...problem.headers,
});

function noRoute(routes: Routes, target: string): Problem {
  const route = routes.find(pathOf(target));
  if (route === undefined) return new Problem(404);
  return new Problem(405, { headers: { allow: routes.methods(route).join(', ') } });
}

/**
 * What Node lets through: a target that is no path (RFC 9112 §3.2), no or several Hosts, several Authorizations, an
 * unknown Expect (RFC 9110 §10.1.1).
 */
function check({ url, rawHeaders, headers, httpVersion }: IncomingMessage): Problem | undefined {
  if (url?.charCodeAt(0) !== SLASH) return new Problem(400, { detail: 'the request target is no path' });
  let hosts = 0;
  let authorizations = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    // Lengths first: this runs for every header of every request.
    if (name.length === 4) hosts += is(name, 'host');
    else if (name.length === 13) authorizations += is(name, 'authorization');
    else if (name.length === 6 && is(name, 'expect') && !is(rawHeaders[index + 1] ?? '', '100-continue')) {
      return new Problem(417);
    }
  }
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1')) {
    return new Problem(400, { detail: 'exactly one Host header is needed' });
  }
  // No route reads a body, so its type may be anything; fastify would refuse what it cannot parse.
  if (headers['content-type'] !== undefined) delete headers['content-type'];
  return authorizations > 1 ? new Problem(400, { detail: 'more than one Authorization header' }) : undefined;
}

const is = (text: string, lowerCase: string): number => Number(text.toLowerCase() === lowerCase);

const REFUSED = Symbol('refused');

const malformedStatus: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

function answerMalformed(
  error: NodeJS.ErrnoException,
  socket: Socket & { [REFUSED]?: boolean },
  { requests, log, metrics }: Pick<ListenerOptions, 'requests' | 'log' | 'metrics'>,
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
  const requestId = idFor(socket, requests);
  metrics.malformedRequests.inc({ status });
  log.info({ requestId, status, code: error.code }, 'malformed request');
  refuse(socket, new Problem(status), requestId);
}

/** That of the request that turned out to be malformed while its body was read, else a new one. */
function idFor(socket: Socket, requests: Requests): string {
  const last = responseInProgress(socket);
  return last === undefined || last.req.complete ? requests.newId() : requestId(last.req);
}

/** Answers what is no request, or only half of one, when its turn comes, and ends the connection. */
function refuse(socket: Socket, problem: Problem, id: string): void {
  const last = responseInProgress(socket);
  if (last === undefined) {
    endWith(socket, problem, id);
  } else if (last.req.complete || last.writableEnded) {
    // The request before this one gets its own answer, and the connection ends with it.
    last.shouldKeepAlive = false;
    last.once('close', () => socket.destroy());
  } else {
    last.elsewhere = problem.status;
    if (last.socket === null) last.once('socket', () => endWith(socket, problem, id));
    else endWith(socket, problem, id);
  }
}

/** Answers on a socket that no request belongs to, and ends it. */
function endWith(socket: Socket, problem: Problem, id: string): void {
  const headers = {
    ...headersOf(problem),
    'x-request-id': id,
    'x-content-type-options': 'nosniff',
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const title = JSON.parse(problem.body).title;
  socket.end(`HTTP/1.1 ${problem.status} ${title}\r\n${lines.join('')}\r\n${problem.body}`, () => socket.destroy());
}

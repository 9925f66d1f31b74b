import { randomUUID } from 'node:crypto';
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { LogStream } from './log.ts';
import type { RequestDurations } from './metrics.ts';
import { ServerResponse } from './node-http.ts';
import { originForm, pathOf, type Routes } from './routes.ts';

const ID = Symbol('request id');
const CURRENT = Symbol('response in progress');
const WAITING = Symbol('responses before that one');

type TrackedRequest = IncomingMessage & { [ID]: string };
type TrackedSocket = Socket & { [CURRENT]?: TrackedResponse | undefined; [WAITING]?: TrackedResponse[] };

/** An answer that knows when its request began, and that carries what every answer carries. */
export class TrackedResponse extends ServerResponse {
  started = 0;
  /** The status of an answer that went to the bare socket instead. */
  elsewhere: number | undefined = undefined;

  // As fastify and Node call it: its other forms are nobody's here.
  override writeHead(status: number, given?: unknown): this {
    const headers = (given ?? {}) as OutgoingHttpHeaders;
    headers['x-request-id'] = requestId(this.req);
    headers['x-content-type-options'] = 'nosniff';
    return super.writeHead(status, headers);
  }
}

/**
 * Requests that one connection may send ahead of their answers (pipelining, RFC 9112 §9.3.2). Node would read without
 * end for a client that reads nothing, and one connection could fill the login queue.
 */
const MOST_UNANSWERED = 32;

/** nginx's status for a client that went away before its answer was complete. */
const CLIENT_CLOSED_REQUEST = 499;
const LONGEST_LOGGED_PATH = 256;
const methodLabels = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export const requestId = (request: IncomingMessage): string => (request as TrackedRequest)[ID];

/** The answer that a connection is in the middle of, if any. */
export const responseInProgress = (socket: Socket): TrackedResponse | undefined => (socket as TrackedSocket)[CURRENT];

/**
 * Every request of a process: its id, its log line, its duration, and how many are in flight.
 *
 * This is the fast path. It works on the bare request and response rather than through fastify's hooks and logger, which
 * cost more than the rest of a request, and which see neither clients that go away nor requests that never reach a route.
 * The log line is written by hand: everything in it is a number, a checked id or JSON.stringify's work.
 */
export class Requests {
  inFlight = 0;
  /** While true, every answer ends its connection, so that clients move on before the listener closes. */
  draining = false;
  // Unique, not unguessable: a random start for the process, and a count; a UUID for each costs more than the log line.
  readonly #idStart = `${randomUUID().slice(0, 13)}-`;
  #count = 0;
  readonly #lineStart: string;
  readonly #stream: LogStream | undefined;
  readonly #durations: RequestDurations;

  /** @param stream where request lines go; undefined when the log level leaves them out */
  constructor(name: string, durations: RequestDurations, stream: LogStream | undefined) {
    this.#durations = durations;
    this.#lineStart = `,"name":${JSON.stringify(name)},"requestId":"`;
    this.#stream = stream;
  }

  /** An id for a request that brings none. */
  newId(): string {
    this.#count += 1;
    return `${this.#idStart}${this.#count}`;
  }

  /**
   * To be called with each request as it comes, before anything else sees it.
   * @returns false when its connection has too many that wait for an answer; the request is none of ours then
   */
  begin(request: IncomingMessage, response: TrackedResponse, routes: Routes): boolean {
    const socket = request.socket as TrackedSocket;
    const last = socket[CURRENT];
    // Most requests come when the last one on their connection is done: only the others are counted.
    if (last !== undefined) {
      const waiting = [...(socket[WAITING] ?? []), last].filter((one) => !one.writableEnded);
      if (waiting.length >= MOST_UNANSWERED) return false;
      socket[WAITING] = waiting;
    }
    socket[CURRENT] = response;
    const given = request.headers['x-request-id'];
    const wellFormed = typeof given === 'string' && /^[\w.-]{1,64}$/.test(given);
    (request as TrackedRequest)[ID] = wellFormed ? given : this.newId();
    response.started = performance.now();
    if (request.url?.charCodeAt(0) !== 47) request.url = originForm(request.url ?? '');
    if (this.draining) response.shouldKeepAlive = false;
    this.inFlight += 1;
    response.on('close', () => this.#end(response, routes));
    return true;
  }

  #end(response: TrackedResponse, routes: Routes): void {
    const request = response.req;
    const status = response.elsewhere ?? (response.writableFinished ? response.statusCode : CLIENT_CLOSED_REQUEST);
    const milliseconds = performance.now() - response.started;
    const method = request.method ?? '';
    const path = pathOf(request.url ?? '');
    this.inFlight -= 1;
    const socket = request.socket as TrackedSocket;
    if (socket[CURRENT] === response) socket[CURRENT] = undefined;
    this.#durations.observe(
      routes.find(path) ?? 'unknown',
      methodLabels.has(method) ? method : 'other',
      status,
      milliseconds / 1000,
    );
    this.#stream?.write(
      `{"level":30,"time":${Date.now()}${this.#lineStart}${requestId(request)}","method":"${method}","path":${JSON.stringify(
        path.length > LONGEST_LOGGED_PATH ? `${path.slice(0, LONGEST_LOGGED_PATH)}…` : path,
      )},"status":${status},"durationMs":${Math.round(milliseconds * 1000) / 1000},"msg":"request"}\n`,
    );
  }
}

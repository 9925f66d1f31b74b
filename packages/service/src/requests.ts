import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { LogStream } from './log.ts';
import type { RequestDurations } from './metrics.ts';
import { originForm, pathOf, type Routes } from './routes.ts';

const ID = Symbol('request id');
const STARTED = Symbol('started');
const STATUS = Symbol('status of an answer that did not go through the response');
const CURRENT = Symbol('response in progress');

type Tracked = ServerResponse & { [ID]: string; [STARTED]: number; [STATUS]?: number };
type TrackedSocket = Socket & { [CURRENT]?: ServerResponse | undefined };

/** nginx's status for a client that went away before its answer was complete. */
const CLIENT_CLOSED_REQUEST = 499;
const LONGEST_LOGGED_PATH = 256;
const methodLabels = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export const requestId = (request: IncomingMessage): string => (request as IncomingMessage & { [ID]: string })[ID];

/** The answer that a connection is in the middle of, if any. */
export const responseInProgress = (socket: Socket): ServerResponse | undefined => (socket as TrackedSocket)[CURRENT];

/** Says that a request was answered on its bare socket. */
export const answeredElsewhere = (response: ServerResponse, status: number): void => {
  (response as Tracked)[STATUS] = status;
};

/**
 * Every request of a process: its id, its log line, its duration, and how many are in flight.
 *
 * This is the fast path. It listens to the server itself rather than through fastify's hooks and logger, which cost more
 * than the rest of a request, and which see neither clients that go away nor requests that never reach a route. The log
 * line is written by hand: everything in it is a number, a checked id or JSON.stringify's work.
 */
export class Requests {
  inFlight = 0;
  /** While true, every answer ends its connection, so that clients move on before the listener closes. */
  draining = false;
  readonly #lineStart: string;
  readonly #stream: LogStream | undefined;
  readonly #durations: RequestDurations;

  /** @param stream where request lines go; undefined when the log level leaves them out */
  constructor(name: string, durations: RequestDurations, stream: LogStream | undefined) {
    this.#durations = durations;
    this.#lineStart = `,"name":${JSON.stringify(name)},"requestId":"`;
    this.#stream = stream;
  }

  track(server: Server, routes: Routes): void {
    const requests = this;
    // Unique, not unguessable: a random start for the process, and a count; a UUID for each costs more than the log line.
    const idStart = `${randomUUID().slice(0, 13)}-`;
    let count = 0;
    function onClose(this: ServerResponse) {
      requests.#end(this as Tracked, routes);
    }
    server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
      const given = request.headers['x-request-id'];
      const id = typeof given === 'string' && /^[\w.-]{1,64}$/.test(given) ? given : `${idStart}${count}`;
      count += 1;
      (request as IncomingMessage & { [ID]: string })[ID] = id;
      (response as Tracked)[ID] = id;
      (response as Tracked)[STARTED] = performance.now();
      (request.socket as TrackedSocket)[CURRENT] = response;
      if (request.url?.charCodeAt(0) !== 47) request.url = originForm(request.url ?? '');
      if (requests.draining) response.shouldKeepAlive = false;
      requests.inFlight += 1;
      response.on('close', onClose);
    });
  }

  #end(response: Tracked, routes: Routes): void {
    const request = response.req;
    const status = response[STATUS] ?? (response.writableFinished ? response.statusCode : CLIENT_CLOSED_REQUEST);
    const milliseconds = performance.now() - response[STARTED];
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
      `{"level":30,"time":${Date.now()}${this.#lineStart}${response[ID]}","method":"${method}","path":${JSON.stringify(
        path.length > LONGEST_LOGGED_PATH ? `${path.slice(0, LONGEST_LOGGED_PATH)}…` : path,
      )},"status":${status},"durationMs":${Math.round(milliseconds * 1000) / 1000},"msg":"request"}\n`,
    );
  }
}

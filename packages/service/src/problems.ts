import { STATUS_CODES } from './node-http.ts';

export interface ProblemOptions {
  headers?: Record<string, string>;
  /** One sentence for the person who reads the answer. Never an address, a stack or a part of the request. */
  detail?: string;
}

/** An answer other than success, thrown by whoever finds it; the listener turns it into an RFC 9457 problem. */
export class Problem extends Error {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly contentType: string = 'application/problem+json';
  readonly body: string;

  constructor(status: number, { headers = {}, detail }: ProblemOptions = {}) {
    super(detail ?? STATUS_CODES[status] ?? 'Error');
    this.status = status;
    this.headers = headers;
    this.body = `${JSON.stringify({ status, title: STATUS_CODES[status] ?? 'Error', detail })}\n`;
  }
}

/** A failed authentication, in the words of the original; `challenge` goes into WWW-Authenticate (RFC 9110 §11.6.1). */
export class Unauthorized extends Problem {
  override readonly contentType = 'text/plain; charset=utf-8';
  override readonly body = 'authorization failed\n';

  constructor(challenge: string) {
    super(401, { headers: { 'www-authenticate': challenge } });
  }
}

/** What to answer for anything that was thrown: itself, what fastify says of a bad request, or a 500 that tells nothing. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const status = (error as { statusCode?: unknown } | null | undefined)?.statusCode;
  return new Problem(typeof status === 'number' && status >= 400 && status < 500 ? status : 500);
}

import { STATUS_CODES } from 'node:http';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Test } from 'supertest';
import { expect } from 'vitest';
import { type Answer, parseAnswers } from './answer.ts';
import type { Endpoint } from './target.ts';

export interface RequestParts {
  headers?: Record<string, string>;
  body?: string;
}

export interface RawOptions {
  /** What the client does once all is sent: wait for the server to close, close its own side (FIN), or go away. */
  afterwards?: 'wait' | 'close' | 'vanish';
  /** Milliseconds until a connection that stays open is an error. */
  deadline?: number;
}

const toBuffer = (response: NodeJS.ReadableStream, done: (error: Error | null, body: Buffer) => void) => {
  const chunks: Buffer[] = [];
  response.on('data', (chunk: Buffer) => chunks.push(chunk));
  response.on('end', () => done(null, Buffer.concat(chunks)));
};

/** Sends requests to one listener, remembers what it sent, and holds every answer to what all answers must keep. */
export class Client {
  /** `METHOD /path` of every request that was really sent, without queries. */
  readonly sent = new Set<string>();
  readonly #endpoint: () => Endpoint;
  readonly #front: 'node' | 'nginx';

  constructor(endpoint: () => Endpoint, front: 'node' | 'nginx') {
    this.#endpoint = endpoint;
    this.#front = front;
  }

  get host(): string {
    return new URL(this.#endpoint().url).host;
  }

  /** A well-formed request; what a URL parser would change in a path (dots, for one) needs `rawRequest`. */
  async send(method: string, path: string, { headers = {}, body }: RequestParts = {}): Promise<Answer> {
    const { url, ca } = this.#endpoint();
    const test = new Test(url, method, path)
      .set(headers)
      .buffer(true)
      .parse(toBuffer as never);
    if (ca !== undefined) test.ca(ca);
    const response = await (body === undefined ? test : test.send(body));
    this.sent.add(`${method} ${path.replace(/\?.*/s, '')}`);
    const text = Buffer.isBuffer(response.body) ? response.body.toString() : '';
    const answer = { status: response.status, headers: response.headers as Answer['headers'], body: text };
    this.#holdToPromises(answer);
    if (/^\/(login|secure)(\?|$)/.test(path)) expect(answer.headers).toHaveProperty('cache-control', 'no-store');
    return answer;
  }

  /**
   * Bytes as they are (a string is latin1), and all answers until the server closes the connection.
   *
   * Of several pieces each is sent when something has come back for the one before it.
   */
  async raw(pieces: string | string[], { afterwards = 'wait', deadline = 30_000 }: RawOptions = {}): Promise<Answer[]> {
    const { url, ca } = this.#endpoint();
    const { protocol, hostname, port } = new URL(url);
    const secure = protocol === 'https:';
    const where = { host: hostname, port: Number(port || (secure ? 443 : 80)), ca };
    const left = [pieces].flat();
    const received: Buffer[] = [];
    for (const [, method, path] of left.join('').matchAll(/^([A-Z]+) (\/[^\s?]*)\S* HTTP\//gm)) {
      this.sent.add(`${method} ${path}`);
    }
    await new Promise<void>((resolve, reject) => {
      const socket = secure ? connectTls(where) : connect(where);
      const timer = setTimeout(() => {
        socket.destroy();
        const text = Buffer.concat(received).toString('latin1');
        reject(new Error(`still open after ${deadline} ms; received so far: ${JSON.stringify(text)}`));
      }, deadline);
      const sendNext = () => {
        const piece = left.shift();
        if (piece === undefined) return;
        socket.write(piece, 'latin1', () => {
          if (left.length === 0 && afterwards === 'close') socket.end();
          if (left.length === 0 && afterwards === 'vanish') socket.destroy();
        });
      };
      let connected = false;
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        connected = true;
        sendNext();
      });
      socket.on('data', (chunk: Buffer) => {
        received.push(chunk);
        sendNext();
      });
      socket.on('error', (error) => {
        // A reset is one of the ways in which a server ends a conversation, but not one to begin with.
        if (!connected) reject(error);
      });
      socket.on('close', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    const answers = parseAnswers(Buffer.concat(received));
    for (const answer of answers) if (answer.status !== 100) this.#holdToPromises(answer);
    return answers;
  }

  /** One request on a connection of its own, its target (path, absolute form, whatever) sent as it is. */
  async rawRequest(method: string, target: string, headers: string[] = [], body = ''): Promise<Answer> {
    const answers = await this.raw(this.text(method, target, headers, body));
    expect(answers, `answers to ${method} ${JSON.stringify(target)}`).toHaveLength(1);
    return answers[0] as Answer;
  }

  /** The text of a request that is the last one on its connection. */
  text(method: string, target: string, headers: string[] = [], body = ''): string {
    return [`${method} ${target} HTTP/1.1`, `Host: ${this.host}`, 'Connection: close', ...headers, '', body].join(
      '\r\n',
    );
  }

  #holdToPromises({ status, headers, body }: Answer): void {
    const { 'x-request-id': id, server, ...told } = headers;
    expect(id).toMatch(/^[A-Za-z0-9._-]{1,64}$/);
    // Tokens are random text, in which any word may turn up; metrics are for operators.
    const shown = body.startsWith('# HELP') ? '' : body.replace(/"token":"[^"]*"/, '');
    const text = `${JSON.stringify(told)} ${shown}`;
    expect(text).not.toMatch(/fastify|undici|node|stack|127\.0\.0\.1|\[::1\]|x-powered-by/i);
    expect(server).toBe(this.#front === 'nginx' ? 'nginx' : undefined);
    expect(headers).toHaveProperty('x-content-type-options', 'nosniff');
    if (headers['content-type']?.startsWith('application/problem+json') && body !== '') {
      const { detail, ...problem } = JSON.parse(body);
      expect(problem).toEqual({ status, title: STATUS_CODES[status] });
      expect(body).toBe(`${JSON.stringify({ status, title: STATUS_CODES[status], detail })}\n`);
      expect(Buffer.byteLength(body)).toBe(Number(headers['content-length']));
    }
  }
}

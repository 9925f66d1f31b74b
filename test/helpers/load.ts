import { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { onTestFinished } from 'vitest';
import type { SigningKey } from '../contract/target.ts';
import { sign, validClaims, validHeader } from '../contract/tokens.ts';
import { bearer, send, until } from './operations.ts';

interface Kind {
  path: string;
  method: string;
  body?: string;
}

export interface Failure {
  method: string;
  /** How many requests were begun before it. */
  after: number;
  why: string;
}

/** Requests to `/` and `/secure` on kept connections, half of them POST, from when it is made until `end`. */
export class Load {
  static readonly clients = 40;
  /** Requests begun so far. */
  sent = 0;
  readonly failures: Failure[] = [];
  readonly #kinds: Kind[];
  readonly #send: (kind: Kind) => ReturnType<typeof send>;
  readonly #clients: Promise<unknown>;
  #ended = false;

  /** @param ca the PEM certificate to trust when the URL is https */
  constructor(url: string, key: SigningKey, ca?: string) {
    const options = { keepAlive: true, maxSockets: Load.clients };
    const agent = ca === undefined ? new Agent(options) : new TlsAgent({ ...options, ca });
    onTestFinished(() => {
      this.#ended = true;
      agent.destroy();
    });
    const headers = bearer(sign(key.secret, validHeader(key), validClaims()));
    this.#send = ({ path, ...rest }) => send(`${url}${path}`, { ...rest, headers, agent });
    this.#kinds = ['/', '/secure'].flatMap((path) => [
      { path, method: 'GET' },
      { path, method: 'POST', body: 'message=hello' },
    ]);
    this.#clients = Promise.all(Array.from({ length: Load.clients }, () => this.#client()));
  }

  /** Waits until requests have been begun and ended in what is now the state of things. */
  async goesOn(): Promise<void> {
    const before = this.sent;
    await until('more requests', () => this.sent > before + 5 * Load.clients);
  }

  /** Lets the requests that are under way end. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#clients;
  }

  async #client(): Promise<void> {
    while (!this.#ended) {
      const kind = this.#kinds[this.sent % this.#kinds.length] as Kind;
      const after = this.sent;
      this.sent += 1;
      const failed = (why: unknown) => this.failures.push({ method: kind.method, after, why: `${kind.path}: ${why}` });
      await this.#send(kind).then(({ status, body }) => {
        if (status !== 200 || body !== '{"message":"Hello"}\n') failed(`${status} ${body}`);
      }, failed);
      // So that connections are idle now and then, as those of people are.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
    }
  }
}

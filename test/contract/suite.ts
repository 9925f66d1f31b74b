import { expect, it } from 'vitest';
import type { Answer } from './answer.ts';
import { Client } from './client.ts';
import type { Capability, HealthEndpoint, Target } from './target.ts';

export const basic = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

type Given<C extends Capability> = { [Name in C]: ReturnType<NonNullable<Target[Name]>> };

/** One run of the contract over one target: what its groups of tests share. */
export class Suite {
  readonly target: Target;
  readonly app: Client;
  readonly #healthClients = new Map<string, Client>();
  #token: Promise<string> | undefined;

  constructor(target: Target) {
    this.target = target;
    this.app = new Client(() => target.app(), target.front);
  }

  /** A token from /login, the same one for the whole suite: each costs the server a tenth of a second of bcrypt. */
  token(): Promise<string> {
    this.#token ??= this.app
      .send('GET', '/login', { headers: { authorization: basic('user', 'password') } })
      .then((answer) => {
        expect(answer.status).toBe(200);
        return JSON.parse(answer.body).token;
      });
    return this.#token;
  }

  async bearer(): Promise<string> {
    return `Bearer ${await this.token()}`;
  }

  /** What each route needs to answer 200. */
  async headersFor(path: string): Promise<Record<string, string>> {
    if (path === '/login') return { authorization: basic('user', 'password') };
    if (path === '/secure') return { authorization: await this.bearer() };
    return {};
  }

  health(endpoint: HealthEndpoint): Client {
    let client = this.#healthClients.get(endpoint.url);
    if (client === undefined) {
      client = new Client(() => endpoint, 'node');
      this.#healthClients.set(endpoint.url, client);
    }
    return client;
  }

  /** What was sent to any health port. */
  get sentToHealth(): Set<string> {
    return new Set([...this.#healthClients.values()].flatMap((client) => [...client.sent]));
  }

  /** `it` for a test that needs more than a URL; where the target cannot give it, the report names the test and why. */
  itNeeds<C extends Capability>(needs: C[], name: string, test: (given: Given<C>) => unknown): void {
    const missing = needs.filter((need) => this.target[need] === undefined);
    const why = `${this.target.name} gives no ${missing.join(', no ')}`;
    it(name, async ({ skip }) => {
      skip(missing.length > 0, why);
      await test(Object.fromEntries(needs.map((need) => [need, this.target[need]?.()])) as Given<C>);
    });
  }
}

/** An RFC 9457 answer; its body's shape is checked with every answer. */
export function expectProblem(answer: Answer | undefined, status: number): void {
  expect(answer).toMatchObject({ status, headers: { 'content-type': 'application/problem+json' } });
}

export function expectUnauthorized(answer: Answer, challenge: string): void {
  expect(answer).toMatchObject({
    status: 401,
    body: 'authorization failed\n',
    headers: { 'content-type': 'text/plain; charset=utf-8', 'content-length': '21', 'www-authenticate': challenge },
  });
}

/** A success, byte for byte. */
export function expectJson(answer: Answer, body: string): void {
  expect(answer).toMatchObject({
    status: 200,
    body,
    headers: { 'content-type': 'application/json; charset=utf-8', 'content-length': String(Buffer.byteLength(body)) },
  });
  expect(answer.headers).not.toHaveProperty('www-authenticate');
  expect(answer.headers).not.toHaveProperty('transfer-encoding');
}

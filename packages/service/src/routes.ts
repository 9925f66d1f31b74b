import type { RouteOptions } from 'fastify';

/** The part of a request target that names a resource: without query and fragment. */
export function pathOf(target: string): string {
  const end = target.search(/[?#]/);
  return end === -1 ? target : target.slice(0, end);
}

/** Absolute-form (`GET http://host/login`, RFC 9112 §3.2.2) as origin-form; anything else as it is. */
export const originForm = (target: string): string => target.replace(/^[a-z][a-z\d+.-]*:\/\/[^/?#]*\/?/i, '/');

/** Which paths a listener answers, and with which methods: for 405, and for metric labels that no client can make up. */
export class Routes {
  readonly #methods = new Map<string, string[]>();

  add({ url, method }: Pick<RouteOptions, 'url' | 'method'>): void {
    const known = this.#methods.get(url) ?? [];
    this.#methods.set(url, [...new Set([...known, ...[method].flat()])]);
  }

  /** The route that a path belongs to, found as the router does: after percent-decoding. */
  find(path: string): string | undefined {
    if (this.#methods.has(path)) return path;
    if (path.includes('%')) {
      try {
        const decoded = decodeURI(path);
        if (this.#methods.has(decoded)) return decoded;
      } catch {}
    }
    return this.#methods.has('*') ? '*' : undefined;
  }

  /** The methods of a route, for `Allow`. */
  methods(route: string): string[] {
    return this.#methods.get(route) ?? [];
  }

  /** Every route as `METHOD /path`. */
  list(): string[] {
    return [...this.#methods].flatMap(([url, methods]) => methods.map((method) => `${method} ${url}`)).sort();
  }
}

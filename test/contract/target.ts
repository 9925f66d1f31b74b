/** Where a listener answers; `ca` is the PEM certificate to trust when the URL is https. */
export interface Endpoint {
  url: string;
  ca?: string | undefined;
}

/** The health port of one of the target's processes. */
export interface HealthEndpoint extends Endpoint {
  name: string;
}

/** The key that the target signs its tokens with. */
export interface SigningKey {
  kid: string;
  secret: string;
}

/** What every line of every log has, in pino's shape. */
export interface LogLine {
  level: number;
  time: number;
  name: string;
  msg: string;
  [member: string]: unknown;
}

/** The log of one of the target's processes, as it stands now: every line so far, complete ones only. */
export interface ReadableLog {
  name: string;
  lines(): readonly string[];
}

/**
 * One form of the application, running somewhere.
 *
 * The contract needs no more than `app`. What else a form can give is optional, and the tests that need it are named as
 * left out where it is missing. Everything is a function, because a target is described before it is started.
 */
export interface Target {
  name: string;
  /** Whose HTTP parser meets the client: nginx answers malformed requests in its own words. */
  front: 'node' | 'nginx';
  app(): Endpoint;
  health?(): readonly HealthEndpoint[];
  logs?(): readonly ReadableLog[];
  signingKey?(): SigningKey;
}

export type Capability = 'health' | 'logs' | 'signingKey';

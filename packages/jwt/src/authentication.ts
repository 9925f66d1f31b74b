import { type Config, Problem, Reloading, type Service, text, Unauthorized } from '@kubernetes-101/service';
import { isShort, type KeySet, parseKeyDirectory, readKeyDirectory, secretKeySet, temporaryKeySet } from './keys.ts';
import { Tokens } from './tokens.ts';

export const keyFlags = {
  keys: text(
    'directory of JWT keys: one file a key, named by its kid, and a file signer with the kid that signs',
    'DIR',
  ),
  secret: text('the one JWT key itself, as in the published labs; prefer -keys', 'KEY'),
};

type KeyConfig = Partial<Config<typeof keyFlags>>;

/** Services that share tokens must be given a key that they share. */
export const checkKeyFlags = ({ keys, secret }: KeyConfig): string[] =>
  keys === undefined && secret === undefined
    ? ['no key: give -keys DIR (make certs makes one) or -secret KEY']
    : checkTemporaryKeyFlags({ keys, secret });

export const checkTemporaryKeyFlags = ({ keys, secret }: KeyConfig): string[] =>
  keys !== undefined && secret !== undefined ? ['-keys and -secret: give one of them'] : [];

/**
 * The tokens of a service, signed and verified with the keys that its flags name, or with a key for its lifetime.
 * @throws Error saying which key file is wrong
 */
export function openTokens(service: Service, { keys, secret }: KeyConfig): Tokens {
  if (keys !== undefined) return watchedTokens(service, keys);
  let set: KeySet;
  if (secret !== undefined) {
    set = secretKeySet(secret);
    if (isShort(secret))
      service.log.warn('-secret has fewer than 32 bytes: it can be guessed; give a longer one, or -keys');
  } else {
    set = temporaryKeySet();
    service.log.warn(
      'no key given: tokens are signed with one that ends with this process; give -keys to share and keep one',
    );
  }
  return measured(service, new Tokens(() => set));
}

function watchedTokens(service: Service, directory: string): Tokens {
  const watched = new Reloading<KeySet>({
    what: 'keys',
    path: directory,
    directory,
    read: () => readKeyDirectory(directory),
    parse: parseKeyDirectory,
    onChange: () => tokens.forget(),
    service,
  });
  const tokens = new Tokens(() => watched.current);
  if (watched.current === undefined) service.log.warn(`${directory} holds no keys yet: not ready until it does`);
  service.health.require(() => watched.current !== undefined);
  service.metrics.gauge('jwt_keys', 'Keys that verify tokens', () => watched.current?.keys.size ?? 0);
  return measured(service, tokens);
}

function measured({ metrics }: Service, tokens: Tokens): Tokens {
  metrics.gauge('token_cache_entries', 'Verified tokens that are remembered', () => tokens.cached);
  metrics.counter('token_cache_hits_total', 'Tokens that had been verified before', () => tokens.cacheHits);
  metrics.counter('token_cache_misses_total', 'Tokens that had to be verified', () => tokens.cacheMisses);
  return tokens;
}

const CHALLENGE = 'Bearer realm="kubernetes-101"';

/** Returns when the Authorization header holds a valid token (RFC 6750). @throws Unauthorized, or a 503 while there are no keys */
export function authenticate(tokens: Tokens, authorization = ''): void {
  const token = bearerToken(authorization);
  if (token === undefined) throw new Unauthorized(CHALLENGE);
  if (tokens.verify(token) !== undefined) return;
  throw tokens.ready ? new Unauthorized(`${CHALLENGE}, error="invalid_token"`) : notReady();
}

/** As everybody writes it, without the price of a regular expression over a long token; else as RFC 9110 §11.4 allows. */
const bearerToken = (header: string): string | undefined =>
  header.startsWith('Bearer ey') ? header.slice(7) : /^Bearer +(.+)$/i.exec(header)?.[1];

/** What is answered while there are no keys. */
export const notReady = () => new Problem(503, { headers: { 'retry-after': '5' }, detail: 'there are no keys yet' });

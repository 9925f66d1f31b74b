import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { checkKeyFlags, keyFlags, LONGEST_LIFETIME, notReady, openTokens, type Tokens } from '@kubernetes-101/jwt';
import {
  type Config,
  duration,
  METHODS,
  Problem,
  type Program,
  Reloading,
  readRegularFile,
  type Service,
  text,
  Unauthorized,
} from '@kubernetes-101/service';
import type { FastifyPluginCallback, FastifyReply } from 'fastify';
import { parseBasic } from './basic.ts';
import { ComparePool, PoolFull } from './compare-pool.ts';
import { parseUsers, type Users, workshopUsers } from './users.ts';

export const loginFlags = {
  'token-ttl': duration('how long a token is valid', '1h', { min: 1000, max: LONGEST_LIFETIME * 1000 }),
  users: text(
    'htpasswd file of the users, with bcrypt hashes; without it there is user with the password password',
    'FILE',
  ),
};

type LoginConfig = Config<typeof loginFlags>;

/** bcrypt looks at no more, so that two passwords that begin alike would be one. */
const LONGEST_PASSWORD = 72;
const LARGEST_FILE = 1_048_576;
const CHALLENGE = 'Basic realm="kubernetes-101", charset="UTF-8"';
const threads = Math.min(availableParallelism(), 4);
/** A thread makes about 9 logins a second: the last in the queue waits 4 s, less than any client or proxy before us. */
const QUEUE_PER_THREAD = 32;

/** `/login`: a token for a name and its password. */
export function loginRoutes(service: Service, tokens: Tokens, config: LoginConfig): FastifyPluginCallback {
  const users = openUsers(service, config.users);
  const pool = new ComparePool({ size: threads, longestQueue: threads * QUEUE_PER_THREAD });
  service.metrics.gauge('login_queue_length', 'Logins that wait for a thread', () => pool.queued);
  service.metrics.gauge('logins_running', 'Logins that a thread is comparing', () => pool.running);

  async function isPassword(name: string, password: string, reply: FastifyReply): Promise<boolean> {
    const { hashes, dummyHash } = users();
    const known = hashes.get(name);
    const fits = Buffer.byteLength(password) <= LONGEST_PASSWORD;
    // Unknown names and impossible passwords take as long as any other, so that time tells nobody which names exist.
    const hash = known !== undefined && fits ? known : dummyHash;
    const matches = await pool.compare(fits ? password : '', hash, clientGone(reply));
    return matches && known !== undefined && fits;
  }

  return (app, _options, done) => {
    app.route({
      method: METHODS,
      url: '/login',
      handler: async (request, reply) => {
        const credentials = parseBasic(request.headers.authorization);
        if (credentials === undefined) throw new Unauthorized(CHALLENGE);
        const { name, password } = credentials;
        const valid = await isPassword(name, password, reply).catch((error) => {
          if (error instanceof PoolFull)
            throw new Problem(503, { headers: { 'retry-after': '2' }, detail: 'too many logins at once' });
          throw error;
        });
        if (!valid) throw new Unauthorized(CHALLENGE);
        const token = tokens.sign({ name, email: `${name}@example.com` }, config['token-ttl'] / 1000);
        if (token === undefined) throw notReady();
        reply.header('cache-control', 'no-store');
        return { token };
      },
    });
    done();
  };
}

function openUsers(service: Service, file: string | undefined): () => Users {
  if (file === undefined) return () => workshopUsers;
  const onOther = (entry: string) =>
    service.log.warn(`${file} ${entry}: not a bcrypt hash, so this user cannot log in; use htpasswd -B`);
  const watched = new Reloading<Users>({
    what: 'users',
    path: file,
    directory: dirname(file),
    // Of another encoding it would hold names that nobody can type; without a byte order mark, which Windows likes.
    read: () => new TextDecoder('utf-8', { fatal: true }).decode(readRegularFile(file, LARGEST_FILE)),
    parse: (raw) => parseUsers(raw, onOther),
    service,
  });
  // A file without users is an error, so there are some.
  return () => watched.current as Users;
}

/** Aborted when the client hangs up before it has its answer. */
function clientGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new Problem(499));
  });
  return controller.signal;
}

const flags = { ...keyFlags, ...loginFlags };

export const auth: Program<typeof flags> = {
  name: 'auth',
  flags,
  check: checkKeyFlags,
  start: (service, config) => ({
    routes: [service.version, loginRoutes(service, openTokens(service, config), config)],
  }),
};

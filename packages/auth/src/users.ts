export interface Users {
  /** bcrypt hashes by the users' names. */
  hashes: ReadonlyMap<string, string>;
  /**
   * What an unknown user's password is compared with, so that it takes as long as a known one's (the highest cost in
   * use). Nobody has a password for it: its digest is all zeros.
   */
  dummyHash: string;
}

/** A compare takes 2^cost rounds: at 14 a login holds a core for more than a second. */
const HIGHEST_COST = 14;
const bcryptHash = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;

function makeUsers(hashes: ReadonlyMap<string, string>): Users {
  const cost = Math.max(...[...hashes.values()].map(costOf));
  return { hashes, dummyHash: `$2a$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}` };
}

export const costOf = (hash: string): number => Number(bcryptHash.exec(hash)?.[1]);

/**
 * Reads an htpasswd file; entries of other kinds than bcrypt are passed to `onOther`, a description each, and left out.
 * @throws Error naming the line that is wrong; never a hash
 */
export function parseUsers(file: string, onOther: (entry: string) => void): Users {
  const hashes = new Map<string, string>();
  for (const [index, line] of file.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const at = `line ${index + 1}`;
    const [, name, hash] = /^([^:$][^:]{0,254}):([^:]*)/.exec(line) ?? [];
    if (name === undefined || hash === undefined) throw new Error(`${at} is not NAME:HASH`);
    if (!hash.startsWith('$2')) {
      onOther(`${at} (${name})`);
      continue;
    }
    if (hashes.has(name)) throw new Error(`${at} (${name}): this name stands twice`);
    const cost = costOf(hash.trim());
    if (!(cost >= 4 && cost <= HIGHEST_COST))
      throw new Error(`${at} (${name}) has no bcrypt hash of a cost from 4 to ${HIGHEST_COST}`);
    hashes.set(name, hash.trim());
  }
  if (hashes.size === 0)
    throw new Error('there is no user with a bcrypt hash; make one with htpasswd -nbB NAME PASSWORD');
  return makeUsers(hashes);
}

/** The workshop's own: `user` with the password `password`. */
export const workshopUsers = makeUsers(
  new Map([['user', '$2a$10$KgFhp4HAaBCRAYbFp5XYUOKrbO90yrpUQte4eyafk4Tu6mnZcNWiK']]),
);

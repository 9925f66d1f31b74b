import { hashSync } from 'bcryptjs';
import { describe, expect, test } from 'vitest';
import { ComparePool, PoolFull } from './compare-pool.ts';

const hash = hashSync('password', 4);
/** bcryptjs throws at it, which ends the thread; parseUsers lets no such hash pass. */
const deadly = `$2a$99$${'.'.repeat(53)}`;
const never = new AbortController().signal;

const compare = (pool: ComparePool, password = 'password', gone = never) => pool.compare(password, hash, gone);
const counts = ({ running, queued }: ComparePool) => ({ running, queued });
const empty = { running: 0, queued: 0 };

test('the password that belongs to a hash matches it, and no other', async () => {
  const pool = new ComparePool({ size: 1, longestQueue: 2 });
  expect(await Promise.all([compare(pool), compare(pool, 'Password'), compare(pool, '')])).toEqual([
    true,
    false,
    false,
  ]);
});

test('each of many at once gets its own result, and no more run than there are threads', async () => {
  const pool = new ComparePool({ size: 3, longestQueue: 100 });
  const passwords = Array.from({ length: 60 }, (_, index) => (index % 3 === 0 ? 'password' : `other ${index}`));
  const results = Promise.all(
    passwords.map(async (password) => {
      const matches = await compare(pool, password);
      expect(pool.running).toBeLessThanOrEqual(3);
      return matches;
    }),
  );
  expect(counts(pool)).toEqual({ running: 3, queued: 57 });
  expect(await results).toEqual(passwords.map((password) => password === 'password'));
  expect(counts(pool)).toEqual(empty);
});

test('past its queue it takes nobody, until there is room again', async () => {
  const pool = new ComparePool({ size: 1, longestQueue: 2 });
  const taken = [compare(pool), compare(pool), compare(pool)];
  await expect(compare(pool)).rejects.toThrow(PoolFull);
  expect(counts(pool)).toEqual({ running: 1, queued: 2 });
  await taken[0];
  const later = compare(pool);
  expect(await Promise.all([...taken, later])).toEqual(Array(4).fill(true));
});

describe('who goes away', () => {
  test('leaves the queue, and gives the place to another', async () => {
    const pool = new ComparePool({ size: 1, longestQueue: 1 });
    const client = new AbortController();
    const running = compare(pool);
    const waiting = compare(pool, 'password', client.signal);
    client.abort(new Error('gone'));
    const next = compare(pool);
    await expect(waiting).rejects.toThrow('gone');
    expect(await Promise.all([running, next])).toEqual([true, true]);
  });

  test('before the start takes no place at all', async () => {
    const pool = new ComparePool({ size: 1, longestQueue: 1 });
    await expect(compare(pool, 'password', AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
    expect(counts(pool)).toEqual(empty);
  });

  test('while a thread compares changes nothing', async () => {
    const pool = new ComparePool({ size: 1, longestQueue: 1 });
    const client = new AbortController();
    const [first, second] = [0, 1].map(() => compare(pool, 'password', client.signal));
    await first;
    expect(counts(pool)).toEqual({ running: 1, queued: 0 });
    client.abort(new Error('gone'));
    expect(await second).toBe(true);
  });
});

describe('a thread that dies', () => {
  test('fails its own compare only; those that wait get another', async () => {
    const pool = new ComparePool({ size: 2, longestQueue: 20 });
    const dying = [1, 2, 3].map(() => pool.compare('password', deadly, never));
    const others = Array.from({ length: 5 }, () => compare(pool));
    const results = await Promise.allSettled([...dying, ...others]);
    expect(results.map(({ status }) => status)).toEqual([
      ...dying.map(() => 'rejected'),
      ...others.map(() => 'fulfilled'),
    ]);
    expect(counts(pool)).toEqual(empty);
  });

  test('is never used again: neither at once nor later', async () => {
    const pool = new ComparePool({ size: 1, longestQueue: 1 });
    await expect(pool.compare('password', deadly, never)).rejects.toThrow('Illegal number of rounds');
    expect(await compare(pool)).toBe(true);
    expect(await compare(pool)).toBe(true);
    expect(counts(pool)).toEqual(empty);
  });
});

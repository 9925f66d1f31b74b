import { compareSync } from 'bcryptjs';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { costOf, parseUsers, workshopUsers } from './users.ts';

// Of `password`, made by libxcrypt.
const hash = '$2y$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu';
const costing = (cost: string) => hash.replace('05', cost);
const parse = (file: string, onOther = (entry: string): void => expect.fail(`named ${entry}`)) =>
  parseUsers(file, onOther);

test('the user of the workshop has the password of the workshop', () => {
  expect([...workshopUsers.hashes.keys()]).toEqual(['user']);
  expect(compareSync('password', workshopUsers.hashes.get('user') ?? '')).toBe(true);
});

test('a file made by htpasswd -nbB is read: users by their names', () => {
  const { hashes } = parse(`alice:${hash}\n\nbob:${hash}\n`);
  expect([...hashes]).toEqual(['alice', 'bob'].map((name) => [name, hash]));
  expect(compareSync('password', hashes.get('alice') ?? '')).toBe(true);
  expect(hashes.get('__proto__')).toBeUndefined();
});

test('comments, blank lines, the line ends of Windows and further fields are passed over', () => {
  const { hashes } = parse(`# the users\r\n\r\n  \r\nalice:${hash}\r\nbob:${hash}:and more\r\nzoë:${hash} `);
  expect([...hashes]).toEqual(['alice', 'bob', 'zoë'].map((name) => [name, hash]));
});

test.for(['$2a$', '$2b$', '$2y$'])('%s is bcrypt', (prefix) => {
  expect(parse(`alice:${hash.replace('$2y$', prefix)}`).hashes.has('alice')).toBe(true);
});

test('entries of other kinds are named and left out', () => {
  const named = vi.fn();
  const others = ['$apr1$salt$hash', '{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=', 'plain', '', '$5$salt$hash'];
  const file = [`alice:${hash}`, ...others.map((other, index) => `old${index}:${other}`)].join('\n');
  expect([...parse(file, named).hashes.keys()]).toEqual(['alice']);
  expect(named.mock.calls).toEqual(others.map((_, index) => [`line ${index + 2} (old${index})`]));
});

describe('a file is refused, with the line that is wrong and never a hash, where', () => {
  const cost = 'line 2 (bob) has no bcrypt hash of a cost from 4 to 14';
  test.for([
    ['a line has no colon', hash, 'line 2 is not NAME:HASH'],
    ['a line has no name', `:${hash}`, 'line 2 is not NAME:HASH'],
    ['a hash is cut short', `bob:${hash.slice(0, -1)}`, cost],
    ['a hash is too long', `bob:${hash}x`, cost],
    ['a hash has a character that is none', `bob:${hash.replace('W', '!')}`, cost],
    ['a hash is of another bcrypt', `bob:${hash.replace('$2y$', '$2x$')}`, cost],
    ['a cost is too low', `bob:${costing('03')}`, cost],
    ['a cost is so high that a login would take seconds', `bob:${costing('15')}`, cost],
    ['a cost is no number', `bob:${costing('x5')}`, cost],
  ])('%s', ([, line = '', message]) => {
    expect(() => parse(`alice:${hash}\n${line}\n`)).toThrow(new Error(message));
  });

  test.for(['', '\n', '# nobody\n'])('nobody is in it (%j)', (file) => {
    expect(() => parse(file)).toThrow(/^there is no user with a bcrypt hash; .*htpasswd/);
  });
});

test('no file is anything but users or an error that tells no hash', () => {
  const line = fc.oneof(
    fc.string(),
    fc.tuple(fc.string(), fc.constantFrom(hash, costing('99'), hash.slice(1), '$2y$')).map((parts) => parts.join(':')),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      try {
        for (const one of parse(lines.join('\n'), () => {}).hashes.values()) expect(one).toBe(hash);
      } catch (error) {
        expect((error as Error).message).toMatch(/^(line \d+ |there is no user)/);
        expect((error as Error).message).not.toContain(hash.slice(7));
      }
    }),
  );
});

test('the dummy hash costs as much as the dearest one, and nothing matches it', () => {
  const users = parse(`alice:${hash}\nbob:${costing('11')}\ncarol:${costing('10')}`);
  expect(costOf(users.dummyHash)).toBe(11);
  expect(costOf(workshopUsers.dummyHash)).toBe(10);
  const dummy = parse(`alice:${costing('04')}`).dummyHash;
  expect(dummy).toHaveLength(hash.length);
  fc.assert(
    fc.property(fc.string(), (password) => !compareSync(password, dummy)),
    { numRuns: 20, examples: [[''], ['password']] },
  );
});

test('a line with its fields exchanged is refused without its hash', () => {
  expect(() => parse(`${hash}:alice\n`)).toThrow('line 1 is not NAME:HASH');
});

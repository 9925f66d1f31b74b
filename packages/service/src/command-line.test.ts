import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { address, duration, oneOf, parseCommandLine, port, text, UsageError, usage } from './command-line.ts';

const flags = {
  http: address('where to listen', '0.0.0.0:8080'),
  'drain-delay': duration('how long to drain', '0s'),
  'log-level': oneOf('what to log', 'info', ['info', 'debug']),
  secret: text('the key', 'KEY'),
};
/** Any text at all: every UTF-16 unit, alone or not. */
const anyText = (constraints = {}) =>
  fc.string({ ...constraints, unit: fc.nat(0xffff).map((unit) => String.fromCharCode(unit)) });
const spellings = (name: string, value: string) => [
  [`-${name}=${value}`],
  [`--${name}=${value}`],
  [`-${name}`, value],
  [`--${name}`, value],
];

const parse = (args: string[], environment: Record<string, string> = {}) => parseCommandLine(flags, args, environment);

function problemsOf(...[args, environment]: Parameters<typeof parse>): string[] {
  try {
    parse(args, environment);
  } catch (error) {
    if (error instanceof UsageError) return error.problems;
    throw error;
  }
  return [];
}

test('a flag that nobody gives has its fallback, and one without a fallback is left out', () => {
  expect(parse([])).toEqual({ http: { host: '0.0.0.0', port: 8080 }, 'drain-delay': 0, 'log-level': 'info' });
});

test('every spelling of any value, and the environment, mean the same', () => {
  fc.assert(
    fc.property(anyText({ minLength: 1 }), (value) => {
      for (const args of spellings('secret', value)) expect(parse(args)).toMatchObject({ secret: value });
      expect(parse([], { SECRET: value })).toMatchObject({ secret: value });
    }),
  );
});

describe('the environment', () => {
  test('names a flag in upper case with _ for -', () => {
    expect(parse([], { DRAIN_DELAY: '2s', LOG_LEVEL: 'debug' })).toMatchObject({
      'drain-delay': 2000,
      'log-level': 'debug',
    });
  });

  test('gives way to the command line, whose last word counts', () => {
    expect(parse(['-drain-delay=2s', '-drain-delay', '3s'], { DRAIN_DELAY: 'junk' })).toMatchObject({
      'drain-delay': 3000,
    });
  });

  test('sets nothing with an empty value, where the command line would be told', () => {
    expect(parse([], { SECRET: '', DRAIN_DELAY: '' })).toEqual(parse([]));
    expect(problemsOf(['-secret='])).toEqual(['-secret: "" must not be empty']);
  });

  test('is named in the problem when its value is wrong', () => {
    expect(problemsOf([], { DRAIN_DELAY: 'soon' })).toEqual([expect.stringMatching(/^DRAIN_DELAY: "soon" is no/)]);
  });
});

test('all problems are told at once, those of the flags taken together too', () => {
  const args = ['-http', 'nowhere', 'stray', '-sercet=hunter2', '-log-level', 'loud', '-drain-delay'];
  const check = (config: object) => [`usable: ${Object.keys(config)}`];
  expect(() => parseCommandLine(flags, args, {}, check)).toThrow(
    new UsageError([
      'argument 3 is no flag: flags start with -',
      '-sercet: there is no such flag',
      '-drain-delay: needs a value',
      '-http: "nowhere" is no address such as :8080 or 127.0.0.1:8080',
      '-log-level: "loud" is none of info, debug',
      'usable: drain-delay',
    ]),
  );
});

test('what belongs to no flag is never repeated, for it may be a secret', () => {
  expect(problemsOf(['hunter2', '--', '-', '---secret=hunter2', '-=hunter2'])).toEqual(
    [1, 2, 3, 4, 5].map((at) => `argument ${at} is no flag: flags start with -`),
  );
  for (const args of spellings('sercet', 'hunter2'))
    expect(problemsOf(args)).toEqual(['-sercet: there is no such flag']);
  expect(problemsOf(['-sercet', '-drain-delay=2s'])).toHaveLength(1);
  expect(problemsOf(['-constructor=1', '-__proto__', '1'])).toHaveLength(2);
});

test('no command line or environment fails with anything but its problems', () => {
  const name = fc.constantFrom('http', 'drain-delay', 'log-level', 'secret', '__proto__', 'constructor', 'toString');
  const argument = fc.oneof(
    anyText(),
    fc.tuple(fc.constantFrom('-', '--'), name).map((parts) => parts.join('')),
    fc.tuple(fc.constantFrom('-', '--'), name, fc.constant('='), fc.string()).map((parts) => parts.join('')),
  );
  const environment = fc.dictionary(fc.constantFrom('HTTP', 'DRAIN_DELAY', 'LOG_LEVEL', 'SECRET'), fc.string());
  fc.assert(fc.property(fc.array(argument), environment, (args, variables) => void problemsOf(args, variables)));
});

test('-help and -version win over everything that is wrong', () => {
  for (const help of ['-help', '--help', '-h']) expect(parse(['-nonsense', help])).toBe('help');
  expect(parse(['stray', '-version'])).toBe('version');
  expect(parse(['-secret', '-help'])).toMatchObject({ secret: '-help' });
});

test('the usage names every flag with its placeholder, its help and its fallback', () => {
  const page = usage('program', flags);
  expect(page).toMatch(/^Usage: program \[flags\]\n/);
  expect(page).toContain('  -drain-delay DURATION\n      how long to drain (default 0s)\n');
  expect(page).toContain('  -log-level info|debug\n');
  expect(page).toContain('  -secret KEY\n      the key\n');
});

describe('addresses', () => {
  const { parse } = address('', '');

  test.for<[string, string | undefined, number]>([
    [':8080', undefined, 8080],
    ['127.0.0.1:0', '127.0.0.1', 0],
    ['[::1]:80', '::1', 80],
    ['[::ffff:127.0.0.1]:80', '::ffff:127.0.0.1', 80],
    ['my-host.example:65535', 'my-host.example', 65535],
  ])('%s is one', ([given, host, number]) => expect(parse(given)).toEqual({ host, port: number }));

  test.for([
    '',
    '8080',
    ':',
    'localhost',
    ':65536',
    ':-1',
    ':80 ',
    ':80\n',
    '::1:80',
    '[::1]',
    '[x]:80',
    'http://a:80',
  ])('%j is none', (given) => expect(() => parse(given)).toThrow('is no address'));
});

describe('ports', () => {
  const { parse } = port('', '');
  test('are whole numbers up to 65535', () => expect(['1', '8443', '65535'].map(parse)).toEqual([1, 8443, 65535]));
  test.for(['', '0', '65536', '-1', '1.5', '0x50', ' 80'])('%j is none', (given) =>
    expect(() => parse(given)).toThrow('is no port'),
  );
});

describe('durations', () => {
  const { parse } = duration('', '', { min: 0, max: 7_200_000 });

  test.for<[string, number]>([
    ['0', 0],
    ['0s', 0],
    ['500ms', 500],
    ['8s', 8000],
    ['1.5s', 1500],
    ['1h30m', 5_400_000],
    ['1m1s1ms', 61_001],
  ])('%s is %d milliseconds', ([given, milliseconds]) => expect(parse(given)).toBe(milliseconds));

  test.for(['', '8', 's', '-1s', '1 s', '1S', '1d', '.5s', '1e3s', '1h30', '0s\n'])('%j is none', (given) =>
    expect(() => parse(given)).toThrow('is no duration'),
  );

  test('outside of their bounds are refused, however large', () => {
    const { parse } = duration('', '', { min: 1000, max: 3000 });
    expect(['1s', '3s'].map(parse)).toEqual([1000, 3000]);
    for (const given of ['999ms', '0', '3001ms', `${'9'.repeat(400)}h`])
      expect(() => parse(given)).toThrow('is not between 1s and 3s');
  });
});

/** A command line or environment that cannot be used; `problems` lists everything that is wrong with it. */
export class UsageError extends Error {
  readonly problems: string[];
  constructor(problems: string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

/** One flag: what it is for, what it is when nobody gives it, and how its text is read (throws what is wrong with it). */
export interface Flag<T> {
  help: string;
  placeholder: string;
  fallback: string | undefined;
  parse: (text: string) => T;
}

/** Flags by their names; the environment variable of a flag is its name in upper case, `-` as `_`. */
export type Flags = Record<string, Flag<unknown>>;
export type Config<F extends Flags> = { [Name in keyof F]: F[Name] extends Flag<infer T> ? T : never };

/** Where to listen; `host` undefined means every interface, as in Go's `:8080`. */
export interface Address {
  host: string | undefined;
  port: number;
}

export const address = (help: string, fallback: string): Flag<Address> => ({
  help,
  placeholder: 'ADDR',
  fallback,
  parse: (text) => {
    const [, bracketed, plain, port] = /^(?:\[([\da-f:.]+)\]|([\w.-]*)):(\d{1,5})$/i.exec(text) ?? [];
    if (port === undefined || Number(port) > 65535) throw new Error('is no address such as :8080 or 127.0.0.1:8080');
    return { host: bracketed ?? (plain || undefined), port: Number(port) };
  },
});

export const port = (help: string, fallback: string, { max = 65_535 } = {}): Flag<number> => ({
  help,
  placeholder: 'PORT',
  fallback,
  parse: (text) => {
    if (!/^\d{1,5}$/.test(text) || Number(text) < 1 || Number(text) > max)
      throw new Error(`is no port between 1 and ${max}`);
    return Number(text);
  },
});

const milliseconds: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A Go duration (`500ms`, `8s`, `1h30m`, `0`) between `min` and `max`, in milliseconds. */
export const duration = (help: string, fallback: string, { min = 0, max = 3_600_000 } = {}): Flag<number> => ({
  help,
  placeholder: 'DURATION',
  fallback,
  parse: (text) => {
    if (!/^(0|(\d+(\.\d+)?(ms|s|m|h))+)$/.test(text)) throw new Error('is no duration such as 500ms, 8s or 1h30m');
    let total = 0;
    for (const [, value, unit] of text.matchAll(/([\d.]+)(ms|s|m|h)/g))
      total += Number(value) * (milliseconds[unit ?? ''] ?? 0);
    if (total < min || total > max) throw new Error(`is not between ${min / 1000}s and ${max / 1000}s`);
    return total;
  },
});

export const oneOf = <T extends string>(help: string, fallback: T, values: readonly T[]): Flag<T> => ({
  help,
  placeholder: values.join('|'),
  fallback,
  parse: (text) => {
    const value = values.find((one) => one === text);
    if (value === undefined) throw new Error(`is none of ${values.join(', ')}`);
    return value;
  },
});

/** A text that may be left out; when given it must not be empty. */
export const text = (help: string, placeholder: string): Flag<string | undefined> => ({
  help,
  placeholder,
  fallback: undefined,
  parse: (value) => {
    if (value === '') throw new Error('must not be empty');
    return value;
  },
});

const environmentName = (flag: string) => flag.toUpperCase().replaceAll('-', '_');

export function usage(program: string, flags: Flags): string {
  const entries = Object.entries(flags).map(([name, flag]) => {
    const fallback = flag.fallback === undefined ? '' : ` (default ${flag.fallback})`;
    return `  -${name} ${flag.placeholder}\n      ${flag.help}${fallback}\n`;
  });
  return (
    `Usage: ${program} [flags]\n\n${entries.join('')}  -help\n  -version\n\n` +
    'Flags are written -x=v, -x v, --x=v or --x v. Each may come from the environment instead,\n' +
    'in upper case with _ for - (DRAIN_DELAY=8s); the command line wins.\n'
  );
}

/**
 * Reads a Go-style command line and the environment behind it.
 *
 * Values are not repeated in messages about arguments that belong to no flag: they may be secrets.
 * @returns the values by flag name, or which of `-help` and `-version` was asked for
 * @throws UsageError with every problem there is
 */
export function parseCommandLine<F extends Flags>(
  flags: F,
  args: readonly string[],
  environment: Record<string, string | undefined>,
  check: (config: Partial<Config<F>>) => string[] = () => [],
): Config<F> | 'help' | 'version' {
  const problems: string[] = [];
  const given = new Map<string, { text: string; from: string }>();
  for (const name of Object.keys(flags)) {
    const from = environmentName(name);
    const value = environment[from];
    if (value) given.set(name, { text: value, from });
  }

  for (let index = 0; index < args.length; index += 1) {
    const [, name, inline] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(args[index] ?? '') ?? [];
    if (name === undefined) {
      problems.push(`argument ${index + 1} is no flag: flags start with -`);
    } else if (name === 'help' || name === 'h') {
      return 'help';
    } else if (name === 'version') {
      return 'version';
    } else if (!Object.hasOwn(flags, name)) {
      problems.push(`-${name}: there is no such flag`);
      if (inline === undefined && args[index + 1]?.startsWith('-') === false) index += 1;
    } else if (inline !== undefined) {
      given.set(name, { text: inline, from: `-${name}` });
    } else if (index + 1 < args.length) {
      index += 1;
      given.set(name, { text: args[index] ?? '', from: `-${name}` });
    } else {
      problems.push(`-${name}: needs a value`);
    }
  }

  const config: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const { text, from } = given.get(name) ?? { text: flag.fallback, from: `-${name}` };
    try {
      if (text !== undefined) config[name] = flag.parse(text);
    } catch (error) {
      problems.push(`${from}: ${JSON.stringify(text)} ${(error as Error).message}`);
    }
  }
  problems.push(...check(config as Partial<Config<F>>));
  if (problems.length > 0) throw new UsageError(problems);
  return config as Config<F>;
}

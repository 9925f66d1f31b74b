import { parseArgs } from 'node:util';

export interface Options {
  /** How often each comparison is repeated. */
  rounds: number;
  /** Load in one slice, in whole seconds (wrk takes no fractions). */
  seconds: number;
}

export const usage = `usage: node bench/src/main.ts [flags]
  -rounds N    repeat each comparison N times (5)
  -seconds N   whole seconds of load in one slice (2)
  -help        print this

Writes Markdown to stdout and progress to stderr. The defaults take about eight minutes.
`;

/**
 * Reads the command line; a flag is spelled -x=v, -x v, --x=v or --x v, as for the services.
 * @returns the options, 'help', or every problem found.
 */
export const parseOptions = (args: string[]): Options | 'help' | { problems: string[] } => {
  const problems: string[] = [];
  const { tokens } = parseArgs({
    args: args.map((arg) => arg.replace(/^-(?=[a-z])/, '--')),
    options: { rounds: { type: 'string' }, seconds: { type: 'string' }, help: { type: 'boolean' } },
    strict: false,
    tokens: true,
  });
  const options: Options = { rounds: 5, seconds: 2 };
  for (const token of tokens) {
    if (token.kind === 'option' && token.name === 'help') return 'help';
    if (token.kind === 'option' && (token.name === 'rounds' || token.name === 'seconds')) {
      if (/^[1-9]\d{0,3}$/.test(token.value ?? '')) options[token.name] = Number(token.value);
      else problems.push(`-${token.name}: "${token.value ?? ''}" is not a whole number from 1 to 9999`);
    } else if (token.kind === 'option') problems.push(`-${token.name}: unknown flag`);
    else if (token.kind === 'positional') problems.push(`"${token.value}": not a flag`);
  }
  return problems.length > 0 ? { problems } : options;
};

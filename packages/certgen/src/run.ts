import { parseArgs } from 'node:util';
import { Directory } from './directory.ts';
import { FileProblem } from './file-set.ts';
import { fill } from './fill.ts';
import { inClusterApi, Secrets } from './secrets.ts';

const usage = `Usage: certgen [-out DIR | -secrets]

Makes a CA, a server certificate and a JWT key, as far as they are missing or about to end.

  -out DIR  where to make tls/, ca/ and keys/ (default: the current directory)
  -secrets  in a pod: fill the Secrets tls-certs, tls-ca and jwt-keys of its namespace instead
  -help     print this
`;

interface Output {
  write(text: string): unknown;
}

/** Runs one command line and gives the exit code: 0, 1 for files that cannot be made, 2 for a wrong command line. */
export async function run(
  args: string[],
  environment: Record<string, string | undefined>,
  now: Date,
  stdout: Output,
  stderr: Output,
): Promise<number> {
  const options = parse(args);
  if (options instanceof Error) {
    stderr.write(`certgen: ${options.message}\n\n${usage}`);
    return 2;
  }
  if (options.help) {
    stdout.write(usage);
    return 0;
  }
  let nameOf = (path: string) => path;
  try {
    const store = options.secrets ? new Secrets(inClusterApi(environment)) : new Directory(options.out ?? '.');
    nameOf = (path) => store.nameOf(path);
    for (const { path, why } of await fill(store, now)) {
      stdout.write(why ? `made ${nameOf(path)} (${why})\n` : `kept ${nameOf(path)}\n`);
    }
    return 0;
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error;
    stderr.write(`certgen: ${[nameOf(error.path), error.message].filter(Boolean).join(': ')}\n`);
    return 1;
  }
}

function parse(args: string[]): { out?: string | undefined; secrets: boolean; help: boolean } | Error {
  try {
    const { values } = parseArgs({
      // Go's spelling of a long flag has one dash.
      args: args.map((arg) => arg.replace(/^-(?=[^-])/, '--')),
      options: {
        out: { type: 'string' },
        secrets: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.out === '') return new Error('-out needs the name of a directory');
    if (values.out !== undefined && values.secrets) return new Error('-out and -secrets: give one of them');
    return values;
  } catch (error) {
    return error as Error;
  }
}

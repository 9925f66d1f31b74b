import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fillDirectory } from './directory.ts';
import { FileProblem } from './file-set.ts';

const usage = `Usage: certgen [-out DIR]

Makes a CA, a server certificate and a JWT key, as far as they are missing or about to end.

  -out DIR  where to make tls/, ca/ and keys/ (default: the current directory)
  -help     print this
`;

interface Output {
  write(text: string): unknown;
}

/** Runs one command line and gives the exit code: 0, 1 for files that cannot be made, 2 for a wrong command line. */
export async function run(args: string[], now: Date, stdout: Output, stderr: Output): Promise<number> {
  const options = parse(args);
  if (options instanceof Error) {
    stderr.write(`certgen: ${options.message}\n\n${usage}`);
    return 2;
  }
  const { out, help } = options;
  if (help) {
    stdout.write(usage);
    return 0;
  }
  try {
    for (const { path, why } of await fillDirectory(out, now)) {
      stdout.write(why ? `made ${join(out, path)} (${why})\n` : `kept ${join(out, path)}\n`);
    }
    return 0;
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error;
    stderr.write(`certgen: ${join(out, error.path)}: ${error.message}\n`);
    return 1;
  }
}

function parse(args: string[]): { out: string; help: boolean } | Error {
  try {
    const { values } = parseArgs({
      // Go's spelling of a long flag has one dash.
      args: args.map((arg) => arg.replace(/^-(?=[^-])/, '--')),
      options: { out: { type: 'string', default: '.' }, help: { type: 'boolean', default: false } },
    });
    return values.out === '' ? new Error('-out needs the name of a directory') : values;
  } catch (error) {
    return error as Error;
  }
}

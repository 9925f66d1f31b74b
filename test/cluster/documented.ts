import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../drivers/containers.ts';
import { k8s, type Namespace } from './namespace.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A section of k8s/README.md, by its heading. @throws when there is none */
async function section(heading: string): Promise<string> {
  const text = await readFile(join(k8s, 'README.md'), 'utf8');
  const found = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  if (found === undefined) throw new Error(`k8s/README.md has no section ${heading}`);
  return found;
}

/** The commands of a section, one text a fence. */
export async function commandsOf(heading: string): Promise<string[]> {
  return [...(await section(heading)).matchAll(/^```sh\n(.*?)^```$/gms)].map(([, commands = '']) => commands);
}

/** The first table of a section: its rows, without its head. */
export async function tableOf(heading: string): Promise<string[][]> {
  const lines = (await section(heading)).split('\n').filter((line) => line.startsWith('| '));
  return lines.slice(1).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** Runs commands as a person types them who works in this namespace. @returns what they wrote */
export function type(namespace: Namespace, commands: string): Promise<string> {
  const inNamespace = `kubectl() { command kubectl --namespace ${namespace.name} "$@"; }\n`;
  return run('bash', ['-euo', 'pipefail', '-c', `cd '${root}'\n${inNamespace}${commands}`]);
}

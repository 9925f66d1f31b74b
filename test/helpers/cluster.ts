import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { describe, test } from 'vitest';

// biome-ignore lint/style/noProcessEnv: who runs the tests says what must not be left out
const required = process.env.REQUIRE === 'cluster';
const whyNot = required ? findWhyNot() : '`make test-cluster` runs it, on the cluster of the current context';

/**
 * `describe` for what needs a cluster. It is left out, by name and with the reason, unless `REQUIRE=cluster` is in the
 * environment: a cluster that happens to be somebody's current context is not there to be tested on.
 *
 * @throws when it is required and no cluster answers
 */
export function describeWithCluster(name: string, define: () => void): void {
  if (whyNot === undefined) {
    describe(name, define);
    return;
  }
  if (required) throw new Error(`REQUIRE=cluster, but ${whyNot}`);
  test(name, ({ skip }) => skip(whyNot));
}

function findWhyNot(): string | undefined {
  const { error, status, stderr } = spawnSync('kubectl', ['get', '--raw', '/readyz', '--request-timeout=10s'], {
    encoding: 'utf8',
  });
  if (error?.message.includes('ENOENT')) return 'there is no kubectl command on this machine';
  if (error !== undefined || status !== 0)
    return `no cluster answers: ${stderr?.trim().split('\n').at(-1) || error?.message}`;
  return undefined;
}

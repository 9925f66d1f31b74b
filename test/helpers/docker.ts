import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { describe, test } from 'vitest';

const whyNot = findWhyNot();

/**
 * `describe` for what needs a Docker engine. Where none answers it is left out, by name and with the reason.
 *
 * @throws instead, when `REQUIRE=docker` is in the environment
 */
export function describeWithDocker(name: string, define: () => void): void {
  if (whyNot === undefined) {
    describe(name, define);
    return;
  }
  // biome-ignore lint/style/noProcessEnv: who runs the tests says what must not be left out
  if (process.env.REQUIRE === 'docker') throw new Error(`REQUIRE=docker, but ${whyNot}`);
  test(name, ({ skip }) => skip(whyNot));
}

function findWhyNot(): string | undefined {
  const { error, status, stderr } = spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  if (error?.message.includes('ENOENT')) return 'there is no docker command on this machine';
  if (error !== undefined || status !== 0) return `Docker does not answer: ${stderr?.trim() || error?.message}`;
  return undefined;
}

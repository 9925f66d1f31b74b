import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ProcessLog } from './log.ts';

export type Program = 'monolith' | 'hello' | 'auth' | 'edge' | 'certgen';
export type Service = Exclude<Program, 'certgen'>;

export interface Exit {
  /** Null when a signal ended the process. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A service that runs as a process of its own. */
export interface ServiceProcess {
  name: Service;
  pid: number;
  url: string;
  healthUrl: string;
  log: ProcessLog;
  exited: Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
  /** Ends it as Kubernetes does. @throws when it does not exit with 0, with what it wrote to stderr */
  stop(): Promise<void>;
}

// Nothing of the developer's environment: HTTP, SECRET and the like are flags.
const launch = (
  program: Program,
  args: readonly string[],
  env: Record<string, string>,
): ChildProcessWithoutNullStreams =>
  spawn(process.execPath, [`packages/${program}/src/main.ts`, ...args], { cwd: root, env });

function watch(child: ChildProcessWithoutNullStreams, onStdout: (text: string) => void): Promise<Exit> {
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    onStdout(text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // A test run that ends early leaves no process behind; vitest ends its workers with SIGTERM.
  const kill = () => child.kill('SIGKILL');
  const killAndEnd = () => {
    kill();
    process.kill(process.pid, 'SIGTERM');
  };
  process.once('exit', kill).once('SIGTERM', killAndEnd);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      process.off('exit', kill).off('SIGTERM', killAndEnd);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** Runs a program that is to end by itself, such as one that cannot start. */
export function run(program: Program, args: readonly string[], env: Record<string, string> = {}): Promise<Exit> {
  return watch(launch(program, args, env), () => {});
}

/**
 * Starts a service on free ports of the loopback interface; resolves when both listen.
 *
 * @throws when it exits instead, with what it wrote to stderr
 */
export async function start(
  name: Service,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<ServiceProcess> {
  const child = launch(name, ['-http', '127.0.0.1:0', '-health', '127.0.0.1:0', ...args], env);
  const log = new ProcessLog(name);
  const exited = watch(child, (text) => log.add(text));
  const addressOf = async (listener: string) => {
    const line = await log.waitFor((one) => one.msg === 'listening' && one.listener === listener);
    return String(line.address);
  };
  const failed = exited.then(({ code, stderr }) => {
    throw new Error(`${name} exited with ${code} instead of listening: ${stderr}`);
  });
  const listening = Promise.all([addressOf('http'), addressOf('health')]);
  listening.catch(() => child.kill('SIGKILL'));
  failed.catch(() => {});
  const [http, health] = await Promise.race([listening, failed]);
  return {
    name,
    pid: child.pid ?? 0,
    url: `${name === 'edge' ? 'https' : 'http'}://${http}`,
    healthUrl: `http://${health}`,
    log,
    exited,
    kill: (signal) => child.kill(signal),
    stop: async () => {
      child.kill('SIGTERM');
      const { code, signal, stderr } = await exited;
      if (code !== 0) throw new Error(`${name} ended with ${code ?? signal} after SIGTERM: ${stderr}`);
    },
  };
}

import { basic, bearer, getOk } from './client.ts';
import { memory } from './proc.ts';
import type { Processes, Server } from './processes.ts';
import { type Answers, monolith, type Program, programs } from './subjects.ts';

/** A program that runs; `command` starts another like it, on any core; `idle` is its resident memory in bytes before any load. */
export interface Member {
  program: Program;
  command: string[];
  server: Server;
  origin: string;
  idle: number;
}

/** Starts a program and waits for its first answer; `prefix` of its command may pin it. */
export const startMember = async (
  processes: Processes,
  prefix: string[],
  { program, command }: Pick<Member, 'program' | 'command'>,
): Promise<Member> => {
  const server = await processes.start(program.name, [...prefix, ...command], program.listeners);
  const origin = `${program.scheme}://${server.addresses.get('http')}`;
  await getOk(origin + program.path);
  return { program, command, server, origin, idle: memory(server.pid).resident };
};

export const logIn = async (origin: string): Promise<string> => {
  const { body } = await getOk(`${origin}/login`, basic);
  return JSON.parse(body).token;
};

/** An answer as the yardstick is to repeat it: without the headers that node:http adds by itself. */
const repeatable = async (url: string, headers: Record<string, string> = {}) => {
  const answer = await getOk(url, headers);
  const { date, connection, 'keep-alive': keepAlive, ...rest } = answer.headers;
  return { headers: rest as Record<string, string>, body: answer.body };
};

/** Waits for the first good answer. @throws Error when there is none within 20 s */
export const firstAnswer = async (url: string): Promise<void> => {
  const deadline = performance.now() + 20_000;
  for (;;) {
    try {
      await getOk(url);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
};

/** All programs, one process each, and a token that all of them accept. */
export class Fleet {
  readonly members = new Map<string, Member>();
  token = '';

  find(name: string): Member {
    const member = this.members.get(name);
    if (!member) throw new Error(`${name} has not been started`);
    return member;
  }

  /** Starts the programs one after the other. */
  async start(processes: Processes, prefix: string[], files: string): Promise<void> {
    const surroundings = { files, origin: (name: string) => this.find(name).origin, answers: () => this.answers() };
    for (const program of programs) {
      const command = await program.command(surroundings);
      this.members.set(program.name, await startMember(processes, prefix, { program, command }));
    }
  }

  /** What the yardstick is to repeat. */
  async answers(): Promise<Answers> {
    const { origin } = this.find(monolith.name);
    this.token = await logIn(origin);
    const root = await repeatable(`${origin}/`);
    return { token: this.token, root, secure: await repeatable(`${origin}/secure`, bearer(this.token)) };
  }

  async stop(): Promise<void> {
    await Promise.all([...this.members.values()].map(({ server }) => server.stop()));
  }
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createLog, LogStream } from './log.ts';

const LINES = 100_000;
const LINE = `${'x'.repeat(99)}\n`;
const MIB = 1_048_576;

/** A process that logs ten megabytes as soon as its stdin ends, and then tells how it went. */
const program = `
  import { text } from 'node:stream/consumers';
  import { LogStream } from ${JSON.stringify(new URL('log.ts', import.meta.url).href)};
  const stream = new LogStream(process.stdout);
  await text(process.stdin);
  for (let count = 0; count < ${LINES}; count += 1) stream.write(${JSON.stringify(LINE)});
  const held = process.stdout.writableLength;
  await stream.end(50);
  process.stderr.write(JSON.stringify({ dropped: stream.dropped, held }), () => process.exit(0));
`;

async function logTo(stdout: 'unread' | 'closed' | number) {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['pipe', typeof stdout === 'number' ? stdout : 'pipe', 'pipe'],
  });
  if (stdout === 'closed') {
    child.stdout?.destroy();
    await once(child.stdout as NonNullable<typeof child.stdout>, 'close');
  }
  child.stdin?.end();
  const [report, [code]] = await Promise.all([
    text(child.stderr as NonNullable<typeof child.stderr>),
    // Not 'close': nobody reads stdout, so it never ends.
    once(child, 'exit'),
  ]);
  child.stdout?.destroy();
  return { code, ...(JSON.parse(report) as { dropped: number; held: number }) };
}

describe('logging goes on, and the process ends by itself, when stdout', () => {
  test('is a pipe that nobody reads: memory is bounded, and lines that do not fit are counted', async () => {
    const { code, dropped, held } = await logTo('unread');
    expect(code).toBe(0);
    expect(held).toBeLessThan(MIB + 20_000);
    expect(held).toBeGreaterThan(MIB);
    expect(dropped).toBeGreaterThan(LINES / 2);
    expect(dropped).toBeLessThan(LINES);
  });

  test('is a pipe that was closed: every line is counted', async () => {
    expect(await logTo('closed')).toMatchObject({ code: 0, dropped: LINES });
  });

  test.runIf(existsSync('/dev/full'))('is a full disk: every line is counted', async () => {
    const full = await open('/dev/full', 'w');
    onTestFinished(() => full.close());
    expect(await logTo(full.fd)).toMatchObject({ code: 0, dropped: LINES });
  });

  test('is a file: every line is written', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'log-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    const file = await open(join(directory, 'log'), 'w');
    onTestFinished(() => file.close());
    expect(await logTo(file.fd)).toEqual({ code: 0, dropped: 0, held: 0 });
    expect(await readFile(join(directory, 'log'), 'utf8')).toBe(LINE.repeat(LINES));
  });
});

/** A stream whose reader takes nothing until it is told to. */
function stalled() {
  const written: string[] = [];
  let resume = () => {};
  const reading = new Promise<void>((resolve) => {
    resume = resolve;
  });
  const stream = new Writable({
    write: (chunk, _encoding, done) =>
      void reading.then(() => {
        written.push(String(chunk));
        done();
      }),
  });
  return { stream, written, resume };
}

test('lines are gathered, and held no longer than a blink', () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const { stream: sink } = stalled();
  const write = vi.spyOn(sink, 'write');
  const stream = new LogStream(sink);
  for (const line of ['a\n', 'b\n']) stream.write(line);
  expect(write).not.toHaveBeenCalled();
  vi.advanceTimersByTime(100);
  stream.write('c\n');
  vi.advanceTimersByTime(100);
  expect(write.mock.calls.map(([piece]) => String(piece))).toEqual(['a\nb\n', 'c\n']);
});

test('when the reader comes back, lines are written again, whole and in order', async () => {
  const { stream: sink, written, resume } = stalled();
  const stream = new LogStream(sink);
  for (let count = 0; count < 2 * MIB; count += LINE.length) stream.write(LINE);
  stream.flush();
  const { dropped } = stream;
  expect(dropped).toBeGreaterThan(0);
  resume();
  await vi.waitUntil(() => sink.writableLength === 0);
  stream.write('after\n');
  await stream.end(60_000);
  const lines = written.join('').split('\n');
  expect(lines.slice(-2)).toEqual(['after', '']);
  expect(lines.length - 2).toBe(Math.ceil((2 * MIB) / LINE.length) - dropped);
  expect(stream.dropped).toBe(dropped);
});

test('the end waits for the last line, and for a stalled reader no longer than it has patience', async () => {
  const { stream: sink, written, resume } = stalled();
  const stream = new LogStream(sink);
  stream.write('last\n');
  await stream.end(1);
  expect(written).toEqual([]);
  const end = stream.end(60_000);
  resume();
  await end;
  expect(written.join('')).toBe('last\n');
});

test('the log is one JSON object a line, whatever is logged, from its level up', async () => {
  const { stream: sink, written, resume } = stalled();
  resume();
  const stream = new LogStream(sink);
  const log = createLog('hello', 'info', stream);
  log.debug('left out');
  log.info({ signal: 'a\n{"level":60}' }, 'b\n{"level":60}');
  await stream.end(60_000);
  expect(
    written
      .join('')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { level: 30, time: expect.any(Number), name: 'hello', signal: 'a\n{"level":60}', msg: 'b\n{"level":60}' },
  ]);
});

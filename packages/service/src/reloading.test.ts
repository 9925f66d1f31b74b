import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Log } from './log.ts';
import { Metrics } from './metrics.ts';
import { Reloading } from './reloading.ts';

let directory: string;
let file: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'reloading-'));
  file = join(directory, 'file');
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  onTestFinished(() => void vi.useRealTimers());
});

/** Watches the number in the file; `none` is no number yet, anything else is wrong. */
function watchNumber() {
  const log = { info: vi.fn(), error: vi.fn() };
  const metrics = new Metrics('test', '1.0.0');
  const onChange = vi.fn();
  const numbers = new Reloading<number>({
    what: 'numbers',
    path: file,
    directory,
    read: () => readFileSync(file, 'utf8'),
    parse: (raw) => {
      if (raw === 'none') return undefined;
      if (!/^\d+$/.test(raw)) throw new Error('that is no number');
      return Number(raw);
    },
    onChange,
    service: { log: log as unknown as Log, metrics },
  });
  onTestFinished(() => numbers.close());
  const counted = async () => {
    const { values } = await metrics.reloads.get();
    return Object.fromEntries(values.map(({ labels, value }) => [labels.result, value]));
  };
  return { numbers, onChange, log, counted };
}

describe('the file system tells of a change when the file', () => {
  beforeEach(() => {
    writeFileSync(file, '1');
    // Without the poll, which would see everything a little later.
    vi.useFakeTimers({ toFake: ['setInterval'] });
  });

  const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 20_000 });

  test('is written in place, again and again', async () => {
    const { numbers, onChange, log } = watchNumber();
    expect(numbers.current).toBe(1);
    for (const number of [2, 3]) {
      writeFileSync(file, String(number));
      await eventually(() => numbers.current).toBe(number);
      expect(onChange).toHaveBeenLastCalledWith(number);
    }
    expect(log.info).toHaveBeenCalledWith(`-numbers ${file} was read again`);
  });

  test('is replaced by another, as editors do, again and again', async () => {
    const { numbers } = watchNumber();
    for (const number of [2, 3]) {
      writeFileSync(join(directory, 'new'), String(number));
      renameSync(join(directory, 'new'), file);
      await eventually(() => numbers.current).toBe(number);
    }
  });

  test('changes with the directory behind it, as the kubelet does, again and again', async () => {
    const swapTo = (number: number) => {
      mkdirSync(join(directory, `..${number}`));
      writeFileSync(join(directory, `..${number}`, 'file'), String(number));
      symlinkSync(`..${number}`, join(directory, '..data_tmp'));
      renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
      rmSync(join(directory, `..${number - 1}`), { recursive: true, force: true });
    };
    swapTo(1);
    rmSync(file);
    symlinkSync('..data/file', file);
    const { numbers, counted } = watchNumber();
    for (const number of [2, 3, 4]) {
      swapTo(number);
      await eventually(() => numbers.current).toBe(number);
    }
    expect(await counted()).toEqual({ ok: 3 });
  });

  test('appears where there was nothing to use yet', async () => {
    writeFileSync(file, 'none');
    const { numbers } = watchNumber();
    expect(numbers.current).toBeUndefined();
    writeFileSync(file, '1');
    await eventually(() => numbers.current).toBe(1);
  });
});

describe('where the file system tells of nothing, the poll', () => {
  beforeEach(() => {
    writeFileSync(file, '1');
    // All is synchronous here: the events of the file system never get a turn.
    vi.useFakeTimers();
  });

  test('sees a change, even in a directory that took the place of the first', () => {
    const { numbers } = watchNumber();
    renameSync(directory, `${directory}-old`);
    onTestFinished(() => rmSync(`${directory}-old`, { recursive: true }));
    mkdirSync(directory);
    writeFileSync(file, '2');
    vi.advanceTimersByTime(5000);
    expect(numbers.current).toBe(2);
  });

  test.for<[string, () => void, string]>([
    ['bad', () => writeFileSync(file, 'junk'), 'that is no number'],
    ['empty', () => writeFileSync(file, ''), 'that is no number'],
    ['gone', () => rmSync(file), 'ENOENT'],
    ['no longer of use', () => writeFileSync(file, 'none'), 'nothing is there any more'],
  ])('keeps the last good value when the file is %s, tells of it once, and goes on', async ([, spoil, why]) => {
    const { numbers, onChange, log, counted } = watchNumber();
    spoil();
    vi.advanceTimersByTime(15_000);
    expect(numbers.current).toBe(1);
    expect(onChange).not.toHaveBeenCalled();
    expect(log.error).toHaveBeenCalledExactlyOnceWith(
      expect.stringMatching(`^-numbers ${file} cannot be used, .*: .*${why}`),
    );
    expect(await counted()).toEqual({ failed: 1 });

    for (const number of [1, 2]) {
      writeFileSync(file, String(number));
      vi.advanceTimersByTime(15_000);
      expect(onChange).toHaveBeenLastCalledWith(number);
      expect(numbers.current).toBe(number);
      expect(await counted()).toEqual({ failed: 1, ok: number });
    }
  });

  test('tells of each new fault', () => {
    const { log } = watchNumber();
    const faults = [() => writeFileSync(file, 'junk'), () => writeFileSync(file, ''), () => rmSync(file)];
    for (const spoil of faults) {
      spoil();
      vi.advanceTimersByTime(15_000);
    }
    expect(log.error).toHaveBeenCalledTimes(faults.length);
  });

  test('sees nothing more once it is closed', () => {
    const { numbers } = watchNumber();
    numbers.close();
    writeFileSync(file, '2');
    vi.advanceTimersByTime(15_000);
    expect(numbers.current).toBe(1);
  });
});

test('what cannot be used at the start is an error that names the flag and the path, and nothing stays behind', () => {
  vi.useFakeTimers();
  expect(watchNumber).toThrow(`-numbers ${file}: ENOENT`);
  writeFileSync(file, 'junk');
  expect(watchNumber).toThrow(`-numbers ${file}: that is no number`);
  rmSync(directory, { recursive: true });
  expect(watchNumber).toThrow(`-numbers ${file}: ENOENT`);
  expect(vi.getTimerCount()).toBe(0);
});

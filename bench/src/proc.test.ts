import { expect, test } from 'vitest';
import { parseCpuSeconds, parseMemory } from './proc.ts';

test('CPU time is user and system time, whatever the command is called', () => {
  const stat = '7 (a) b (c) S 1 7 7 0 -1 4194304 900 0 0 0 250 50 3 4 20 0 11 0 1000 1 2';
  expect(parseCpuSeconds(stat)).toBe(3);
});

test('memory is read in bytes', () => {
  const status = 'Name:\tnode\nVmHWM:\t  2000 kB\nVmRSS:\t  1000 kB\n';
  expect(parseMemory(status)).toEqual({ resident: 1_024_000, peak: 2_048_000 });
});

test('without /proc both are NaN', () => {
  expect(parseCpuSeconds('')).toBeNaN();
  expect(parseMemory('').resident).toBeNaN();
});

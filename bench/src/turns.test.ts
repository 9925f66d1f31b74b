import { expect, test } from 'vitest';
import { compareInTurns } from './turns.ts';

const sequence = (...values: number[]) => {
  const rest = values.values();
  return async () => ({ speed: rest.next().value ?? Number.NaN });
};

test('each candidate is compared with the yardstick before and after it', async () => {
  const yardstick = sequence(100, 200, 400, 400, 100);
  const candidates = new Map([
    ['a', sequence(75, 400)],
    ['b', sequence(600, 250)],
  ]);
  const ratios = await compareInTurns(2, yardstick, candidates);
  expect(ratios.get('a')).toEqual([{ speed: 0.5 }, { speed: 1 }]);
  expect(ratios.get('b')).toEqual([{ speed: 2 }, { speed: 1 }]);
  expect(ratios.get('')).toEqual([{ speed: 2 }, { speed: 2 }, { speed: 1 }, { speed: 0.25 }]);
});

import { expect, test } from 'vitest';
import { mean, percentile } from './statistics.ts';

test('the median of an even number of values lies between the middle two', () => {
  expect(percentile([9, 1, 3, 5], 50)).toBe(4);
});

test('a median takes no notice of one wild value', () => {
  expect(percentile([2, 1e9, 1], 50)).toBe(2);
});

test('percentiles reach from the smallest to the largest value', () => {
  const values = [4, 2, 3, 1, 5];
  expect([0, 25, 75, 100].map((percent) => percentile(values, percent))).toEqual([1, 2, 4, 5]);
  expect(values).toEqual([4, 2, 3, 1, 5]);
});

test('what could not be measured stays NaN', () => {
  expect(percentile([], 50)).toBeNaN();
  expect(mean([1, Number.NaN])).toBeNaN();
});

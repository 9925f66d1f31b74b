import { expect, test } from 'vitest';
import { parseCoreList } from './cores.ts';

test('core lists hold single cores and ranges', () => {
  expect(parseCoreList('0-1')).toEqual([0, 1]);
  expect(parseCoreList('3')).toEqual([3]);
  expect(parseCoreList('0-2,5,8-9')).toEqual([0, 1, 2, 5, 8, 9]);
});

import { expect, test } from 'vitest';
import { megabytes, spread, table } from './table.ts';

test('a spread is the median and the quartiles', () => {
  expect(spread([1, 2, 3, 4, 5])).toBe('3.00 (2.00–4.00)');
  expect(spread([1, 2, 3], 0)).toBe('2 (2–3)');
});

test('what could not be measured is a dash', () => {
  expect(spread([1, Number.NaN])).toBe('–');
  expect(spread([1, Number.POSITIVE_INFINITY])).toBe('–');
  expect(spread([])).toBe('–');
  expect(megabytes(Number.NaN)).toBe('–');
});

test('megabytes are powers of ten', () => {
  expect(megabytes(98_400_000)).toBe('98');
});

test('a table is Markdown, a bar in a cell does not end the cell', () => {
  expect(table(['what', 'n'], [['a|b', '1']])).toBe('| what | n |\n|---|---:|\n| a\\|b | 1 |\n');
});

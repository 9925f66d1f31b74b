import { percentile } from './statistics.ts';

/** A median with its quartiles, as in `0.86 (0.84–0.88)`; `–` for what could not be measured. */
export const spread = (values: number[], digits = 2): string => {
  if (values.length === 0 || !values.every(Number.isFinite)) return '–';
  const [low, middle, high] = [25, 50, 75].map((percent) => percentile(values, percent).toFixed(digits));
  return `${middle} (${low}–${high})`;
};

/** Bytes as whole megabytes (10⁶). */
export const megabytes = (bytes: number): string => (Number.isFinite(bytes) ? (bytes / 1e6).toFixed(0) : '–');

/** A Markdown table; the first column is text, the others are aligned as numbers. */
export const table = (header: string[], rows: string[][]): string => {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
  const rule = `|${header.map((_, column) => (column === 0 ? '---' : '---:')).join('|')}|\n`;
  return line(header) + rule + rows.map(line).join('');
};

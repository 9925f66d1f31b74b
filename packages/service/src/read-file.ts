import { readFileSync, statSync } from 'node:fs';

/**
 * The content of a regular file of at most `limit` bytes, for what a flag names.
 * @throws Error saying why it cannot be read; a pipe or a device, which might never end, is not opened
 */
export function readRegularFile(path: string, limit: number): Buffer {
  const stats = statSync(path);
  if (!stats.isFile()) throw new Error(`${path} is no file`);
  if (stats.size > limit) throw new Error(`${path} has ${stats.size} bytes: more than ${limit} are not read`);
  return readFileSync(path);
}

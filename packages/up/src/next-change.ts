import { watch } from 'node:fs';

const packages = new URL('../../', import.meta.url).pathname;
/** Editors write in several steps; what they leave after the last is what counts. */
const SETTLE = 100;

/** Resolves when a source file has changed, however it was saved: `node --watch` misses a file that was replaced. */
export const nextChange = (): Promise<'changed'> =>
  new Promise((resolve) => {
    const watcher = watch(packages, { recursive: true, persistent: false }, (_event, file) => {
      if (!/^\w+\/src\/[\w-]+\.ts$/.test(file ?? '')) return;
      watcher.close();
      setTimeout(() => resolve('changed'), SETTLE);
    });
  });

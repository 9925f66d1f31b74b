import { defineConfig } from 'rolldown';

const source = (name: string, file = 'main.ts') => `../packages/${name}/src/${file}`;

/** One file a process, with all that it imports: it starts faster than from node_modules, and there is nothing else to ship. */
const bundle = (name: string, others: Record<string, string> = {}) =>
  defineConfig({
    input: { main: source(name), ...others },
    platform: 'node',
    output: {
      dir: `out/${name}`,
      entryFileNames: '[name].mjs',
      chunkFileNames: '[name].mjs',
      // Names stay, for those who read a stack trace.
      minify: { compress: true, codegen: true, mangle: false },
    },
  });

const compareWorker = { 'compare-worker': source('auth', 'compare-worker.ts') };

export default [bundle('monolith', compareWorker), bundle('hello'), bundle('auth', compareWorker), bundle('certgen')];

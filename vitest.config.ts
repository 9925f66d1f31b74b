import { defineConfig } from 'vitest/config';
import { LeftOut } from './test/helpers/left-out.ts';

export default defineConfig({
  test: {
    reporters: ['default', new LeftOut()],
    include: ['packages/**/*.test.ts', 'bench/**/*.test.ts', 'test/**/*.test.ts'],
    // Processes are started and bcrypt is slow; what waits, waits for a condition.
    // One line a file; what fails is shown whole.
    slowTestThreshold: 60_000,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

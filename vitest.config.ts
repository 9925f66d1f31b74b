import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['packages/**/*.test.ts', 'bench/**/*.test.ts', 'test/**/*.test.ts'],
    // Processes are started and bcrypt is slow; what waits, waits for a condition.
    // One line a file; what fails is shown whole.
    slowTestThreshold: 60_000,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

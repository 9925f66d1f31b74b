import type { Reporter, TestModule } from 'vitest/node';

/** Names at the end of a run each test that was left out with a reason, and the reason. */
export class LeftOut implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const lines: string[] = [];
    for (const { relativeModuleId, children } of modules) {
      for (const test of children.allTests('skipped')) {
        const result = test.result();
        if (result.state !== 'skipped' || result.note === undefined) continue;
        lines.push(`  ${relativeModuleId}: ${test.fullName}: ${result.note}\n`);
      }
    }
    if (lines.length > 0) process.stdout.write(`Left out:\n${lines.join('')}`);
  }
}

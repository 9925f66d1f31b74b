import { run } from './run.ts';

process.exitCode = await run(process.argv.slice(2), new Date(), process.stdout, process.stderr);

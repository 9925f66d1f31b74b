import { bench } from './bench.ts';

await bench(process.argv.slice(2));

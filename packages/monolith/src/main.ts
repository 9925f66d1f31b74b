import process from 'node:process';
import { run } from '@kubernetes-101/service';
import { monolith } from './monolith.ts';

await run(monolith, process);

import process from 'node:process';
import { run } from '@kubernetes-101/service';
import { edge } from './edge.ts';

await run(edge, process);

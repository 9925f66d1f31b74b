import process from 'node:process';
import { run } from '@kubernetes-101/service';
import { hello } from './hello.ts';

await run(hello, process);

import process from 'node:process';
import { run } from '@kubernetes-101/service';
import { auth } from './auth.ts';

await run(auth, process);

import process from 'node:process';
import { up } from './up.ts';

await up(process);

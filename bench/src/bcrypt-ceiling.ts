import { compareSync, hashSync } from 'bcryptjs';

// Prints how many passwords a second one thread can check that does nothing else, at the cost (10) of the workshop's
// users. The argument is the time to measure, in seconds.
const hash = hashSync('password', 10);
const start = performance.now();
const end = start + Number(process.argv[2]) * 1000;
let checks = 0;
for (; performance.now() < end; checks++) compareSync('password', hash);
process.stdout.write(`${(checks * 1000) / (performance.now() - start)}\n`);

export {
  type Config,
  duration,
  type Flag,
  type Flags,
  oneOf,
  parseCommandLine,
  port,
  text,
  UsageError,
  usage,
} from './command-line.ts';
export { METHODS, type TlsOptions } from './listener.ts';
export { Problem, Unauthorized } from './problems.ts';
export { readRegularFile } from './read-file.ts';
export { Reloading } from './reloading.ts';
export { type Program, run, type Service } from './run.ts';

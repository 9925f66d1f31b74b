export {
  authenticate,
  checkKeyFlags,
  checkTemporaryKeyFlags,
  keyFlags,
  notReady,
  openTokens,
} from './authentication.ts';
export { LONGEST_LIFETIME, type Tokens } from './tokens.ts';

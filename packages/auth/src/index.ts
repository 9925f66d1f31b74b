export { loginFlags, loginRoutes } from './auth.ts';

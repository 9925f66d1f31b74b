export { helloRoutes } from './hello.ts';

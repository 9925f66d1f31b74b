import { authenticate, checkKeyFlags, keyFlags, openTokens, type Tokens } from '@kubernetes-101/jwt';
import { METHODS, type Program } from '@kubernetes-101/service';
import type { FastifyPluginCallback } from 'fastify';

/** `/` for everybody, `/secure` for those who bring a token. */
export const helloRoutes =
  (tokens: Tokens): FastifyPluginCallback =>
  (app, _options, done) => {
    app.route({ method: METHODS, url: '/', handler: () => ({ message: 'Hello' }) });
    app.route({
      method: METHODS,
      url: '/secure',
      handler: (request, reply) => {
        authenticate(tokens, request.headers.authorization);
        reply.header('cache-control', 'no-store');
        return { message: 'Hello' };
      },
    });
    done();
  };

export const hello: Program<typeof keyFlags> = {
  name: 'hello',
  flags: keyFlags,
  check: checkKeyFlags,
  start: (service, config) => ({ routes: [service.version, helloRoutes(openTokens(service, config))] }),
};

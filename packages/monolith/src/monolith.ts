import { loginFlags, loginRoutes } from '@kubernetes-101/auth';
import { helloRoutes } from '@kubernetes-101/hello';
import { checkTemporaryKeyFlags, keyFlags, openTokens } from '@kubernetes-101/jwt';
import type { Program } from '@kubernetes-101/service';

const flags = { ...keyFlags, ...loginFlags };

/** The same plugins as in hello and auth, in one process; alone with its tokens, it can do without a key from outside. */
export const monolith: Program<typeof flags> = {
  name: 'monolith',
  flags,
  check: checkTemporaryKeyFlags,
  start: (service, config) => {
    const tokens = openTokens(service, config);
    return { routes: [service.version, helloRoutes(tokens), loginRoutes(service, tokens, config)] };
  },
};

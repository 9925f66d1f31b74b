import { describe } from 'vitest';
import { healthContract } from './health.contract.ts';
import { helloContract } from './hello.contract.ts';
import { httpContract } from './http.contract.ts';
import { loginContract } from './login.contract.ts';
import { logsContract } from './logs.contract.ts';
import { malformedContract } from './malformed.contract.ts';
import { routesContract } from './routes.contract.ts';
import { secureContract } from './secure.contract.ts';
import { Suite } from './suite.ts';
import type { Target } from './target.ts';

/** What the application promises, in whatever form it runs: registers all tests over a target that runs by then. */
export function contract(target: Target): void {
  describe(`the contract over ${target.name}`, () => {
    const suite = new Suite(target);
    helloContract(suite);
    loginContract(suite);
    secureContract(suite);
    httpContract(suite);
    malformedContract(suite);
    healthContract(suite);
    logsContract(suite);
    // Last: it looks at what all the others sent.
    routesContract(suite);
  });
}

import { beforeAll, describe, expect, it } from 'vitest';
import { type RegisteredRoutes, registeredRoutes } from '../drivers/registered-routes.ts';
import type { Suite } from './suite.ts';

/** To be registered last: it compares what all other tests have sent with what the code registers. */
export function routesContract(suite: Suite): void {
  describe('the contract itself', () => {
    let registered: RegisteredRoutes;
    beforeAll(async () => {
      registered = await registeredRoutes(['monolith', 'hello', 'auth']);
    }, 30_000);

    it('has sent a request to every route that the applications register', () => {
      expect(registered.http.size).toBeGreaterThan(0);
      expect([...registered.http.difference(suite.app.sent)]).toEqual([]);
    });

    suite.itNeeds(['health'], 'has sent a request to every route of the health port', async () => {
      expect(registered.health.size).toBeGreaterThan(0);
      expect([...registered.health.difference(suite.sentToHealth)]).toEqual([]);
    });
  });
}

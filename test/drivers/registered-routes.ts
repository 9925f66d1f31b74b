import { Form } from './forms.ts';
import type { Service, ServiceProcess } from './processes.ts';

export interface RegisteredRoutes {
  /** `METHOD /path` on the application's port. */
  http: Set<string>;
  health: Set<string>;
}

/** What the services' own code registers, as they tell it in their log at level debug. */
export async function registeredRoutes(services: readonly Service[]): Promise<RegisteredRoutes> {
  const routes: RegisteredRoutes = { http: new Set(), health: new Set() };
  const form = new Form('services that tell their routes', async (begin, { keys }) => {
    const flags = ['-keys', keys, '-log-level', 'debug'];
    const [first] = await Promise.all(services.map((service) => begin(service, flags)));
    return first as ServiceProcess;
  });
  try {
    await form.start();
    for (const { log } of form.processes) {
      for (const listener of ['http', 'health'] as const) {
        const line = await log.waitFor((one) => one.msg === 'routes' && one.listener === listener);
        for (const route of line.routes as string[]) routes[listener].add(route);
      }
    }
    return routes;
  } finally {
    await form.stop();
  }
}

import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Health } from './health.ts';
import type { Listener } from './listener.ts';
import type { Requests } from './requests.ts';

/**
 * Ends a process without losing a request (KEP-1669: a pod that terminates is still sent to for a while).
 *
 * First it is only not ready, and goes on answering for `drainDelay` while whoever sends learns of it; each answer ends
 * its connection. Then the listener closes; what is in progress has `shutdownTimeout` to end. The health port is last.
 * @param drainDelay milliseconds
 * @param shutdownTimeout milliseconds
 */
export async function drain(
  app: Listener,
  healthPort: Listener,
  state: { health: Health; requests: Requests },
  { drainDelay, shutdownTimeout }: { drainDelay: number; shutdownTimeout: number },
): Promise<void> {
  state.health.draining = true;
  state.requests.draining = true;
  await delay(drainDelay);
  await close(app, shutdownTimeout);
  await close(healthPort, Math.min(shutdownTimeout, 1000));
}

async function close({ app }: Listener, timeout: number): Promise<void> {
  const server = app.server as Server;
  // Answers under way when the drain began said keep-alive; their connections fall idle one by one.
  const idle = setInterval(() => server.closeIdleConnections(), 20);
  const deadline = delay(timeout).then(() => server.closeAllConnections());
  await Promise.race([app.close(), deadline]);
  clearInterval(idle);
}

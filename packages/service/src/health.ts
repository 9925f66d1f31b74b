import type { FastifyPluginCallback } from 'fastify';
import type { Registry } from 'prom-client';

/** What the kubelet is told. Liveness depends on nothing but its toggle: a restart would mend nothing else. */
export class Health {
  live = true;
  /** The learners' toggle; readiness further needs every condition, and no drain under way. */
  ready = true;
  draining = false;
  readonly #conditions: (() => boolean)[] = [];

  /** Adds something without which the process cannot serve. */
  require(condition: () => boolean): void {
    this.#conditions.push(condition);
  }

  isReady(): boolean {
    return this.ready && !this.draining && this.#conditions.every((condition) => condition());
  }
}

/** `/healthz`, `/readiness`, their toggles (GET as in the published labs, or POST) and `/metrics`. */
export const healthRoutes =
  (health: Health, metrics: Registry): FastifyPluginCallback =>
  (app, _options, done) => {
    const read = ['GET', 'HEAD'];
    const toggle = ['GET', 'POST'];
    app.route({ method: read, url: '/healthz', handler: (_, reply) => reply.code(health.live ? 200 : 503).send() });
    app.route({
      method: read,
      url: '/readiness',
      handler: (_, reply) => reply.code(health.isReady() ? 200 : 503).send(),
    });
    app.route({
      method: toggle,
      url: '/healthz/status',
      handler: (_, reply) => {
        health.live = !health.live;
        return reply.send();
      },
    });
    app.route({
      method: toggle,
      url: '/readiness/status',
      handler: (_, reply) => {
        health.ready = !health.ready;
        return reply.send();
      },
    });
    app.route({
      method: read,
      url: '/metrics',
      handler: async (_, reply) => reply.type(metrics.contentType).send(await metrics.metrics()),
    });
    done();
  };

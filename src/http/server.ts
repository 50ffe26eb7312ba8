import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import Fastify, { type FastifyError, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { AddressInfo } from 'node:net';
import type { HttpConfig } from '../config/types.ts';
import { AppError } from '../lib/errors.ts';
import { parseWrittenJson } from '../lib/written-json.ts';
import type { Log } from '../lib/log.ts';
import { findActor, requireRole } from './auth.ts';
import { boundConnections, defaultLimits, type ConnectionLimits } from './connections.ts';
import { hostOf, isOurHost } from './host-check.ts';
import { explainListenError } from './listen.ts';
import { refusalOf, refuseConnection, refuseExpectation, refuseOtherMethods, sendError } from './refusals.ts';
import { object, type ApiContext, type ApiRoute } from './route.ts';
import { apiRoutes } from './routes.ts';
import { hostPort } from '../lib/host-port.ts';

/** How far the daemon is: `reasons` says in words why it is not ready. */
export interface Readiness {
  ready: boolean;
  reasons: readonly string[];
}

/** What health and metrics are made of. */
export interface HttpVerbs {
  readiness(): Readiness;
  /** The Prometheus exposition. */
  metrics(): Promise<string>;
}

export interface HttpOptions {
  config: HttpConfig;
  verbs: HttpVerbs;
  api: ApiContext;
  log: Log;
  /** Default: defaultLimits. */
  limits?: ConnectionLimits;
}

export interface HttpServer {
  /** `http://127.0.0.1:8377`, with the port that was given out. */
  readonly url: string;
  /** Every route that is registered: `GET /healthz`. */
  readonly routes: readonly string[];
  stop(): Promise<void>;
}

const bodyLimitBytes = 64 * 1024;
/** Encoded: what the schema of a parameter allows fits, and the schema refuses what is longer in its own words. */
const maxPartLength = 4_096;
/** Refused tokens a minute and address: enough for a person's mistakes, too few to guess. */
const refusedPerMinute = 20;

/** Starts to listen. AppError ERR_PORT_IN_USE when another process listens there. */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { config, log } = options;
  const { app, routes } = await createApp(options);
  try {
    await app.listen({ host: config.host, port: config.port });
  } catch (error) {
    await app.close();
    throw explainListenError(error, config);
  }
  const { port } = app.server.address() as AddressInfo;
  const url = `http://${hostPort({ host: config.host, port })}`;
  log.info({ url }, 'listening');
  return { url, routes, stop: () => app.close() };
}

/** The application without a socket: what tests inject requests into. */
async function createApp({
  config,
  verbs,
  api,
  log,
  limits = defaultLimits,
}: HttpOptions): Promise<{ app: FastifyInstance; routes: string[] }> {
  const app = Fastify({
    bodyLimit: bodyLimitBytes,
    routerOptions: { maxParamLength: maxPartLength },
    forceCloseConnections: true,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // Node looks for connections beyond their time at this interval only.
    // A request without Host is refused by our own check, in the form of the API.
    http: {
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: 1_000,
      requireHostHeader: false,
    },
    clientErrorHandler: refuseConnection,
    frameworkErrors: (error, _request, reply) => sendError(error, reply, log),
    // What is not in a schema is refused, neither dropped nor bent into shape.
    // `verbose` gives refusals the schema that did not fit, whose description says what to write.
    ajv: {
      customOptions: {
        removeAdditional: false,
        coerceTypes: false,
        useDefaults: false,
        verbose: true,
        keywords: ['mustBe'],
      },
    },
  });
  boundConnections(app.server, limits.connections);
  app.server.on('checkExpectation', refuseExpectation);
  const routes: string[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) routes.push(`${each} ${url}`);
  });
  // Fastify reads text/plain by default: it would reach the schemas as a text and be refused in words about an object.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) =>
    parseBody(body as string, done),
  );
  await app.register(helmet);
  await app.register(rateLimit, { global: false, max: refusedPerMinute, timeWindow: '1 minute' });
  const policy = { listen: config.host, hosts: config.hosts };
  const countRefusal = app.createRateLimit({ max: refusedPerMinute, timeWindow: '1 minute' });
  app.decorateRequest('actor', null);
  app.addHook('onRequest', async (request, reply) => {
    if (!isOpen(request) && !isOurHost(hostOf(request.headers.host), request.socket.localAddress, policy)) {
      await reply.code(421).send(refusalOf(421));
      return;
    }
    request.actor = findActor(config.tokens, request.headers.authorization);
    if (request.actor || request.headers.authorization === undefined) return;
    const limit = await countRefusal(request);
    if (!limit.isAllowed && limit.isExceeded) {
      await reply.code(429).header('retry-after', String(limit.ttlInSeconds)).send(refusalOf(429));
    }
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).send(refusalOf(404)));
  app.setErrorHandler<FastifyError>((error, _request, reply) => sendError(error, reply, log));
  addRoutes(app, verbs);
  for (const route of apiRoutes) addApiRoute(app, route, api);
  const declared = [...routes];
  refuseOtherMethods(app, declared);
  return { app, routes: declared };
}

/** What health checks and Prometheus ask, under any name: it holds no patient's data. */
const openPaths: ReadonlySet<string | undefined> = new Set(['/healthz', '/readyz', '/metrics']);

const isOpen = (request: FastifyRequest): boolean => openPaths.has(request.routeOptions.url);

function addRoutes(app: FastifyInstance, verbs: HttpVerbs): void {
  app.get('/healthz', () => ({ status: 'ok' }));
  app.get('/readyz', (_request, reply) => {
    const { ready, reasons } = verbs.readiness();
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready', reasons });
  });
  app.get('/metrics', async (_request, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(await verbs.metrics()),
  );
}

function addApiRoute(app: FastifyInstance, route: ApiRoute, context: ApiContext): void {
  const { method, path, role, params = {}, query = {}, body, readsBody, status = 200, handle } = route;
  app.route({
    method,
    url: path,
    // Before the body is read: without a role, nothing is waited for.
    onRequest: requireRole(role),
    schema: {
      params: object(params, Object.keys(params)),
      querystring: object(query),
      ...(method !== 'GET' && { body: readsBody ? anyObject : (body ?? nothing) }),
    },
    async handler(request, reply) {
      const answer = await handle(toApiRequest(request), context);
      return reply.code(status).header('cache-control', 'no-store').send(answer);
    },
  });
}

/**
 * Reads a JSON body whose numbers keep their digits. A body of no bytes is no body: clients send the content type with a DELETE that
 * has none. Fastify's own parser refuses both.
 */
function parseBody(text: string, done: (error: Error | null, body?: unknown) => void): void {
  if (text === '') {
    done(null, null);
    return;
  }
  try {
    done(null, parseWrittenJson(text));
  } catch (error) {
    const { message, remedy } = error as AppError;
    done(new AppError('ERR_USAGE', `the body ${message}`, { remedy }));
  }
}

/** The body of a route that takes none. */
const nothing = { type: ['object', 'null'], maxProperties: 0 };
const anyObject = { type: ['object', 'null'] };

function toApiRequest({ actor, params, query, body }: FastifyRequest): Parameters<ApiRoute['handle']>[0] {
  return {
    actor: actor!,
    params: params as Record<string, string>,
    query: query as Record<string, string>,
    body,
  };
}

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

/** Whether the daemon is ready: if not, `reasons` says why, in sentences. */
export interface Readiness {
  ready: boolean;
  reasons: readonly string[];
}

/** The operations behind the health and metrics routes. */
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
  /** `http://127.0.0.1:8377`, with the actual port. */
  readonly url: string;
  /** Every registered route: `GET /healthz`. */
  readonly routes: readonly string[];
  stop(): Promise<void>;
}

const bodyLimitBytes = 64 * 1024;
/** Encoded length: every value that a parameter's schema allows fits, and the schema refuses longer values with its own message. */
const maxPartLength = 4_096;
/** Refused tokens per minute and address: enough for an operator's mistakes, too few for guessing. */
const refusedPerMinute = 20;

/** Starts to listen. Throws AppError ERR_PORT_IN_USE if another process listens there. */
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

/** The application without a socket. */
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
    // Node checks for connections that exceed their timeout only at this interval.
    // A request without Host is refused by our own check, in the form of the API.
    http: {
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: 1_000,
      requireHostHeader: false,
    },
    clientErrorHandler: refuseConnection,
    frameworkErrors: (error, _request, reply) => sendError(error, reply, log),
    // A field that is not in a schema is refused; it is not dropped, and values are not coerced.
    // `verbose` adds the unmatched schema to the error; its `mustBe` says what to write.
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
  // Fastify parses text/plain by default: the schemas would get a text, and the refusal would be about an object.
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

/** The paths of health checks and Prometheus, open under any host name: they hold no patient data. */
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
    // Before the body is read: a request without the role is refused without waiting for its body.
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
 * Parses a JSON body and keeps the digits of its numbers. An empty body counts as none: clients send the content type with a DELETE that
 * has no body. Fastify's own parser refuses such requests.
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

/** The body of a route that accepts none. */
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

import { METHODS, STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, HTTPMethods } from 'fastify';
import { appErrorWithin, type AppError, codeOf, errorCatalogue, type ErrorCode } from '../lib/errors.ts';
import { formatPath, type YamlPath } from '../config/problems.ts';
import { didYouMean } from '../lib/suggest.ts';
import type { Log } from '../lib/log.ts';

/** The body of every refusal. */
export interface Refusal {
  message: string;
  code: ErrorCode;
  remedy: string;
}

/** Refusals of the HTTP framework and of Node, by status. They repeat no part of the request: a URL may contain a patient's number. */
const refusals: Readonly<Record<number, { code: ErrorCode; message: string }>> = {
  400: { code: 'ERR_USAGE', message: 'The request is not valid HTTP, or its address cannot be read.' },
  404: { code: 'ERR_NOT_FOUND', message: 'No such address.' },
  405: { code: 'ERR_METHOD', message: 'The address does not have this method.' },
  408: { code: 'ERR_REQUEST_TIMEOUT', message: 'The request did not arrive in time.' },
  413: { code: 'ERR_REQUEST_SIZE', message: 'The body is larger than 64 KiB.' },
  414: { code: 'ERR_REQUEST_SIZE', message: 'A part of the address is too long.' },
  415: { code: 'ERR_MEDIA_TYPE', message: 'The body is not application/json.' },
  417: { code: 'ERR_USAGE', message: 'The header Expect asks for something else than 100-continue.' },
  421: { code: 'ERR_HOST', message: 'The Host header names another server.' },
  429: { code: 'ERR_RATE_LIMITED', message: 'Too many refused tokens; wait a minute.' },
  431: { code: 'ERR_REQUEST_SIZE', message: 'The headers are larger than 16 KiB.' },
};

const apiRemedies: Partial<Record<ErrorCode, string>> = {
  ERR_USAGE: 'GET /api/openapi.json describes every request.',
  ERR_NOT_FOUND: 'GET /api/openapi.json lists all addresses.',
};

/** The refusal for a status, in the form of the API. */
export function refusalOf(status: number, message?: string): Refusal {
  const refusal = refusals[status] ?? refusals[400]!;
  const { code } = refusal;
  return {
    message: message ?? refusal.message,
    code,
    remedy: apiRemedies[code] ?? errorCatalogue[code].remedy,
  };
}

/** Answers with the error. An internal error is logged by its code, and its text is not sent. */
export function sendError(error: FastifyError, reply: FastifyReply, log: Log): unknown {
  const known = appErrorWithin(error);
  if (known) {
    const { message, code } = known;
    const remedy = known.remedy === errorCatalogue.ERR_USAGE.remedy ? apiRemedies.ERR_USAGE : known.remedy;
    return reply.code(statusOf(known)).send({ message, code, remedy });
  }
  const { statusCode } = error;
  if (statusCode !== undefined && statusCode < 500) {
    return reply.code(statusCode).send(refusalOf(statusCode, inWords(error)));
  }
  log.error({ code: codeOf(error) ?? error.name }, 'a request failed');
  return reply.code(500).send({
    message: 'The request failed; the log says why.',
    code: 'ERR_INTERNAL',
    remedy: errorCatalogue.ERR_INTERNAL.remedy,
  });
}

/** Describes why the request does not fit the route's schema, without its patterns; undefined for errors of the framework itself. */
function inWords({ validation, validationContext = 'body' }: FastifyError): string | undefined {
  // For a choice between schemas, the last finding is about the whole value.
  const misfit = validation?.at(-1);
  if (!misfit) return undefined;
  const { instancePath, keyword, params, message = 'does not fit', parentSchema, data } = misfit as Misfit;
  const unknown = params['additionalProperty'];
  if (typeof unknown === 'string') return `${validationContext} has no field "${unknown.slice(0, 100)}"`;
  const missing = params['missingProperty'];
  if (keyword === 'required') return `${formatPath([...pathOf(instancePath), String(missing)])} is missing`;
  const place = formatPath(pathOf(instancePath)) || `the ${validationContext}`;
  const mustBe = parentSchema?.['mustBe'];
  if (typeof mustBe !== 'string') return `${place} ${message}`;
  const words = keyword === 'enum' ? (params['allowedValues'] as readonly string[]) : [];
  return `${place} must be ${mustBe}${didYouMean(String(data), words)}`;
}

/** A finding of the validator: with `verbose`, it includes the schema that the value does not fit. */
interface Misfit {
  instancePath: string;
  keyword: string;
  params: Readonly<Record<string, unknown>>;
  message?: string;
  parentSchema?: Readonly<Record<string, unknown>>;
  data?: unknown;
}

/** `/events/0` → events, 0. */
const pathOf = (pointer: string): YamlPath =>
  pointer
    .split('/')
    .slice(1)
    .map((step) => (/^[0-9]+$/.test(step) ? Number(step) : step));

function statusOf(error: AppError): number {
  switch (error.code) {
    case 'ERR_NOT_FOUND':
    case 'ERR_UNKNOWN_PATIENT':
      return 404;
    case 'ERR_CONFLICT':
      return 409;
    case 'ERR_USAGE':
    case 'ERR_CONFIG':
      return 400;
    default:
      return 503;
  }
}

/** Answers and closes a connection whose request Node could not parse. */
export function refuseConnection(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  const body = JSON.stringify(refusalOf(status));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

/**
 * Answers a request whose `Expect` cannot be met; Node would answer it without a body. Closes the connection, because a body may
 * follow.
 */
export function refuseExpectation(_request: IncomingMessage, response: ServerResponse): void {
  const body = JSON.stringify(refusalOf(417));
  response.writeHead(417, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  });
  response.end(body);
}

/** Answers 405 with `Allow` for every method that a path does not have. Call it after all routes are registered. */
export function refuseOtherMethods(app: FastifyInstance, routes: readonly string[]): void {
  // Node answers CONNECT before the framework sees it.
  const methods = METHODS.filter((method) => method !== 'CONNECT');
  // Adding an existing method again would remove its body.
  for (const method of methods) if (!app.supportedMethods.includes(method)) app.addHttpMethod(method);
  const byUrl = Map.groupBy(routes, (route) => route.slice(route.indexOf(' ') + 1));
  for (const [url, own] of byUrl) {
    const allowed = own.map((route) => route.slice(0, route.indexOf(' ')));
    const others = methods.filter((method) => !allowed.includes(method)) as HTTPMethods[];
    app.route({
      method: others,
      url,
      // The body is not read: it may be of any type.
      onRequest(_request, reply) {
        void reply.code(405).header('allow', allowed.join(', ')).send(refusalOf(405));
      },
      handler: () => undefined,
    });
  }
}

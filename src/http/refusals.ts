import { METHODS, STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, HTTPMethods } from 'fastify';
import { appErrorWithin, type AppError, codeOf, errorCatalogue, type ErrorCode } from '../lib/errors.ts';
import { formatPath, type YamlPath } from '../config/problems.ts';
import { didYouMean } from '../lib/suggest.ts';
import type { Log } from '../lib/log.ts';

/** What every refusal answers. */
export interface Refusal {
  message: string;
  code: ErrorCode;
  remedy: string;
}

/** Refusals of the HTTP framework and of Node, by status. They repeat nothing of the request: an address may hold a patient's number. */
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

/** The refusal with a status, in the form of the API. */
export function refusalOf(status: number, message?: string): Refusal {
  const refusal = refusals[status] ?? refusals[400]!;
  const { code } = refusal;
  return {
    message: message ?? refusal.message,
    code,
    remedy: apiRemedies[code] ?? errorCatalogue[code].remedy,
  };
}

/** Answers with what was wrong; a fault of our own is logged and its text kept. */
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

/** What does not fit the schema of the route, without its patterns; undefined for what the framework says itself. */
function inWords({ validation, validationContext = 'body' }: FastifyError): string | undefined {
  // Of a choice between schemas the last finding is the one about the whole value.
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

/** What the validator says of a value: with `verbose`, also the schema that it does not fit. */
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

/** What Node could not read as a request: the connection is answered and closed. */
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

/** A request whose `Expect` cannot be met, which Node answers without a body. The connection is closed: a body may follow. */
export function refuseExpectation(_request: IncomingMessage, response: ServerResponse): void {
  const body = JSON.stringify(refusalOf(417));
  response.writeHead(417, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  });
  response.end(body);
}

/** Answers 405 with `Allow` for every method that an address does not have. Called when all routes are registered. */
export function refuseOtherMethods(app: FastifyInstance, routes: readonly string[]): void {
  // Node answers CONNECT before the framework sees it.
  const methods = METHODS.filter((method) => method !== 'CONNECT');
  // Adding a content type that exists would take its body away.
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

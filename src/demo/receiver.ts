import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { verifyWebhookSignature } from '../delivery/send/signature.ts';
import { messageOf } from '../lib/errors.ts';
import { monotonicMs } from '../lib/clock.ts';

const largestBody = 16 * 1024 * 1024;

/** One request as the receiver got it. */
export interface ReceivedWebhook {
  /** `webhook-id`; empty if the header is missing. */
  id: string;
  type: string;
  data: Readonly<Record<string, unknown>>;
  /** Time on the monotonic clock when the last byte arrived. */
  receivedAtMs: number;
  /** Number of earlier requests with this id: 0 for the first. */
  copy: number;
  /** Why it is not genuine; undefined if both signatures are valid. */
  problem: string | undefined;
}

export interface Receiver {
  url: string;
  port: number;
  stop(): Promise<void>;
}

export interface ReceiverOptions {
  /** The webhook's signing secret. */
  secret: string;
  onWebhook: (webhook: ReceivedWebhook) => void;
}

/**
 * Listens on loopback, verifies every webhook with the npm package `standardwebhooks` and with `verifyWebhookSignature`
 * (both schemes), and answers 204, or 401 if a signature is not valid.
 */
export async function startReceiver({ secret, onWebhook }: ReceiverOptions): Promise<Receiver> {
  const seen = new Map<string, number>();
  const standard = new Webhook(secret);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    const receivedAtMs = monotonicMs();
    const id = headerOf(request, 'webhook-id');
    const copy = seen.get(id) ?? 0;
    seen.set(id, copy + 1);
    const problem = findProblem({ standard, secret, body, request });
    response.writeHead(problem === undefined ? 204 : 401).end();
    onWebhook({ id, receivedAtMs, copy, problem, ...parseBody(body) });
  }

  const server = createServer((request, response) => {
    // A request that ends in the middle of its body is not a webhook; the sender retries it.
    handle(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/webhooks`,
    port,
    async stop() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > largestBody) throw new Error('The body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function headerOf(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return typeof value === 'string' ? value : '';
}

interface Evidence {
  standard: Webhook;
  secret: string;
  body: string;
  request: IncomingMessage;
}

/** The first of three verifications that fails; each represents receivers that use only that verification. */
function findProblem({ standard, secret, body, request }: Evidence): string | undefined {
  try {
    standard.verify(body, {
      'webhook-id': headerOf(request, 'webhook-id'),
      'webhook-timestamp': headerOf(request, 'webhook-timestamp'),
      'webhook-signature': headerOf(request, 'webhook-signature'),
    });
  } catch (error) {
    return `standardwebhooks refuses it: ${messageOf(error)}`;
  }
  if (!verifyWebhookSignature({ body, headers: request.headers, secret })) {
    return 'verifyWebhookSignature refuses webhook-signature';
  }
  const legacy = { 'x-webhook-signature': headerOf(request, 'x-webhook-signature') };
  if (!verifyWebhookSignature({ body, headers: legacy, secret, allowLegacy: true })) {
    return 'verifyWebhookSignature refuses x-webhook-signature';
  }
  const { type } = parseBody(body);
  return type === headerOf(request, 'x-webhook-event') ? undefined : 'x-webhook-event differs from the body';
}

function parseBody(body: string): { type: string; data: Readonly<Record<string, unknown>> } {
  try {
    const { event, data } = JSON.parse(body) as { event?: unknown; data?: unknown };
    const isObject = typeof data === 'object' && data !== null;
    return { type: String(event), data: isObject ? (data as Record<string, unknown>) : {} };
  } catch {
    return { type: '(not JSON)', data: {} };
  }
}

import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';
import { verifyWebhookSignature } from '../../src/index.ts';

export interface Received {
  id: string;
  event: string;
  body: string;
  data: Record<string, unknown>;
  headers: IncomingHttpHeaders;
  /** Path of the URL: distinguishes the webhooks. */
  path: string;
  /** Whether both signatures are valid. */
  verified: boolean;
}

export interface TestReceiver {
  url: string;
  port: number;
  received: Received[];
  /** Returns the status to answer; default 204. It may be replaced at any time. */
  answer(received: Received): number | Promise<number>;
  /** YAML for `delivery:` that allows delivery to this receiver, with very short retries. */
  delivery: string;
  stop(): Promise<void>;
}

export const testSecret = `whsec_${'0123456789abcdef'.repeat(4)}`;

/** A receiver on loopback that stores and verifies every webhook. */
export async function startTestReceiver(secret = testSecret): Promise<TestReceiver> {
  const standard = new Webhook(secret);
  const receiver: TestReceiver = { url: '', port: 0, received: [], delivery: '', answer: () => 204, stop };
  const server = createServer((request, response) => {
    void (async () => {
      const body = await text(request);
      const parsed = JSON.parse(body) as { event: string; data: Record<string, unknown> };
      const verified =
        isStandard(standard, body, request.headers) &&
        verifyWebhookSignature({ body, headers: request.headers, secret });
      const received: Received = {
        id: String(request.headers['webhook-id']),
        ...parsed,
        body,
        headers: request.headers,
        path: request.url ?? '',
        verified,
      };
      const status = await receiver.answer(received);
      receiver.received.push(received);
      response.writeHead(status).end();
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  receiver.port = (server.address() as AddressInfo).port;
  receiver.url = `http://127.0.0.1:${receiver.port}/webhooks`;
  receiver.delivery = `delivery: { allow_http: true, allow_private_networks: ["127.0.0.1/32"], allowed_ports: [${receiver.port}], retry_schedule: [200ms, 200ms, 200ms, 1s, 1s] }`;
  return receiver;

  async function stop(): Promise<void> {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

function isStandard(standard: Webhook, body: string, headers: IncomingHttpHeaders): boolean {
  try {
    standard.verify(body, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}

import { createHash } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { createSender } from '../../src/delivery/send/send.ts';
import { startHttp, type HttpOptions, type HttpServer } from '../../src/http/server.ts';
import { silentLog } from '../../src/lib/log.ts';
import type { TestStore } from '../outbox/support.ts';

export interface TestApi {
  http: HttpServer;
  stop(): Promise<void>;
}

const roles = ['admin', 'operator', 'auditor'] as const;

/** The API over a store, without a daemon; the token of a role is `<role>-token`. */
export async function startTestApi(
  { vault }: Pick<TestStore, 'vault'>,
  options: { hosts?: string[] } & Pick<HttpOptions, 'limits'> = {},
): Promise<TestApi> {
  const { hosts = [], ...limits } = options;
  const sender = createSender({
    guard: { allowHttp: false, allowPrivateNetworks: [], allowedPorts: [443], forbidden: [] },
  });
  const tokens = roles.map((role) => ({
    name: `an ${role}`,
    role,
    sha256: createHash('sha256').update(`${role}-token`).digest('hex'),
  }));
  const http = await startHttp({
    config: { host: '127.0.0.1', port: 0, hosts, tokens },
    log: silentLog,
    verbs: { readiness: () => ({ ready: true, reasons: [] }), metrics: () => Promise.resolve('# none\n') },
    api: {
      vault,
      sender,
      webhooks: () => [],
      problems: () => new Map(),
      webhookDefaults: () => ({}) as never,
      secretOverlapMs: () => 0,
      check: () => Promise.resolve([]),
      onWebhooksChanged: () => Promise.resolve(),
      onQueued: () => undefined,
      backlog: () => Promise.resolve({ logEnd: { flavour: 'mysql', position: null }, behindBytes: null }),
      status: () => Promise.resolve({}),
      eventTypes: () => ({ events: [], own: [] }),
    },
    ...limits,
  });
  return {
    http,
    async stop() {
      await http.stop();
      await sender.close();
    },
  };
}

export interface Answered {
  status: number;
  text: string;
}

/** One request, with any headers: fetch sets Host itself. */
export async function ask(
  url: string,
  {
    method = 'GET',
    headers = {},
    body,
  }: { method?: string; headers?: Record<string, string>; body?: unknown } = {},
): Promise<Answered> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const all = { ...(payload !== undefined && { 'content-type': 'application/json' }), ...headers };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    httpRequest(url, { method, headers: all, agent: false }, resolve).on('error', reject).end(payload);
  });
  return { status: response.statusCode!, text: await text(response) };
}

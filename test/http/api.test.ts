import { createHash } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listActs } from '../../src/audit/act/acts.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { createSender, type Sender } from '../../src/delivery/send/send.ts';
import { startHttp, type HttpServer } from '../../src/http/server.ts';
import { apiRoutes } from '../../src/http/routes.ts';
import { silentLog } from '../../src/lib/log.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { checkAnswer } from '../support/check-answer.ts';
import { flavours } from '../support/server.ts';
import {
  addWebhook,
  claimant,
  delivered,
  eventOf,
  failed,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestStore,
} from '../outbox/support.ts';

/** Made by the daemon: test/http/webhooks.test.ts has a real one. */
const status = {
  daemon: { running: 0, capturing: false },
  capture: {
    ...{ position: null, committed_at: null, lag_ms: null, halt: null, unlogged_cascades: [] },
    ...{ role: 'standby', last_error: null, failures: 0, silent_ms: null, readers: 0 },
    blocked_by: null,
  },
  source: { error: 'away', remedy: 'none' },
  failing_checks: [],
  webhooks: [],
  dispatch: { in_flight: 0, queued: 0, unsettled: 0, webhooks: [] },
};

const roles = ['admin', 'operator', 'auditor'] as const;
type Role = (typeof roles)[number];
const rank: Record<Role, number> = { auditor: 1, operator: 2, admin: 3 };

interface Answer {
  status: number;
  headers: Record<string, unknown>;
  body: Body;
}

interface Operation {
  operationId: string;
  parameters: { schema: object }[];
  requestBody?: { content: { 'application/json': { schema: object } } };
  responses: Record<string, { content?: { 'application/json': { schema: object } } }>;
}

/** What answers have, each some of it. */
interface Body {
  deliveries: { id: number }[];
  delivery: object;
  acts: Record<string, string>[];
  replays: object[];
  head: object;
  verification: object;
  next_cursor: number | null;
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
}

describe.each(flavours)('the API on %s', (flavour) => {
  let test: TestStore;
  let http: HttpServer;
  let sender: Sender;
  let queued = 0;

  beforeAll(async () => {
    test = await openTestStore(flavour);
    await addWebhook(test.vault, { name: 'Pagos', url: 'https://pagos.example/hook' });
    const me = claimant(test.store);
    const outbox = await openTestAppender(me, test.vault);
    const { fresh } = await outbox.append(
      ['45', '46', '45'].map((subject, n) => eventOf(`e${n}`, { subject, key: String(n) })),
      { room: muchRoom },
    );
    await settle(me, [
      delivered(fresh[0]!),
      failed(fresh[1]!, { kind: 'exhausted' }),
      failed(fresh[2]!, { kind: 'retry', delayMs: 3_600_000 }),
    ]);
    sender = createSender({
      guard: { allowHttp: false, allowPrivateNetworks: [], allowedPorts: [443], forbidden: [] },
    });
    http = await startHttp({
      config: {
        host: '127.0.0.1',
        port: 0,
        hosts: ['webhooks.clinic.example'],
        tokens: roles.map((role) => ({
          name: `an ${role}`,
          role,
          sha256: createHash('sha256').update(`${role}-token`).digest('hex'),
        })),
      },
      log: silentLog,
      verbs: { readiness: () => ({ ready: true, reasons: [] }), metrics: () => Promise.resolve('') },
      api: {
        vault: test.vault,
        sender,
        webhooks: () => outbox.webhooks,
        problems: () => new Map(),
        webhookDefaults: () => ({}) as never,
        secretOverlapMs: () => 0,
        check: () => Promise.resolve([]),
        onWebhooksChanged: () => Promise.resolve(),
        onQueued: () => (queued += 1),
        backlog: () => Promise.resolve({ logEnd: { flavour: 'mysql', position: null }, behindBytes: null }),
        status: () => Promise.resolve(status),
        eventTypes: () => ({ events: [], own: [] }),
      },
    });
  });
  afterAll(async () => {
    await http.stop();
    await sender.close();
    await test.close();
  });

  /** From an address of its own where `from` is given: refusals are counted by address. */
  async function call(
    method: string,
    path: string,
    { token, body, from = '127.0.0.1' }: { token?: string; body?: unknown; from?: string } = {},
  ): Promise<Answer> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(payload !== undefined && { 'content-type': 'application/json' }),
    };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpRequest(http.url + path, { method, headers, localAddress: from }, resolve);
      request.on('error', reject).end(payload);
    });
    const answer = await text(response);
    const parsed = JSON.parse(answer) as Body;
    checkAnswer(method, path, response.statusCode!, parsed);
    return { status: response.statusCode!, headers: response.headers, body: parsed };
  }

  const as = (role: Role) => ({ token: `${role}-token` });
  const pathOf = (path: string): string => path.replace(/:\w+/g, '999999');

  const matrix = apiRoutes.flatMap(({ method, path, role: least }) => [
    ...roles.map((role) => ({
      method,
      path,
      who: role,
      expected: rank[role] >= rank[least] ? 'let in' : 403,
    })),
    { method, path, who: 'no token', expected: 401 },
    { method, path, who: 'a wrong token', expected: 401 },
  ]);

  it.each(matrix)('$method $path for $who: $expected', async ({ method, path, who, expected }) => {
    const nth = matrix.findIndex((each) => each.path === path && each.method === method && each.who === who);
    const token = who === 'no token' ? {} : { token: who === 'a wrong token' ? 'wrong' : `${who}-token` };
    const { status, body } = await call(method, pathOf(path), { ...token, from: `127.0.1.${nth + 1}` });
    if (expected === 'let in') expect([401, 403]).not.toContain(status);
    else expect({ status, body }).toMatchObject({ status: expected, body: { message: 'No autorizado' } });
  });

  it('has no route under /api without a role', async () => {
    for (const { method, path } of apiRoutes)
      expect(`${method} ${path}`).toMatch(/^(GET|POST|PATCH|DELETE) \/api\//);
    expect(await call('GET', '/api/unknown', as('admin'))).toMatchObject({ status: 404 });
    expect(await call('OPTIONS', '/api/deliveries')).toMatchObject({ status: 405 });
    expect((await call('GET', '/api/deliveries?status=failed', as('auditor'))).body.deliveries).toHaveLength(
      2,
    );
  });

  it('answers with security headers, without CORS, and forbids to keep what it says', async () => {
    const { headers } = await call('GET', '/api/deliveries', as('auditor'));
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'SAMEORIGIN',
      'referrer-policy': 'no-referrer',
    });
    expect(headers['content-security-policy']).toContain("default-src 'self'");
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });

  it('stops answering a client that guesses tokens', async () => {
    const from = '127.0.2.1';
    const statuses: number[] = [];
    for (let n = 0; n < 22; n += 1)
      statuses.push((await call('GET', '/api/status', { token: `guess-${n}`, from })).status);
    expect(statuses.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 401));
    expect(statuses.slice(20)).toEqual([429, 429]);
    expect((await call('GET', '/api/status', { ...as('auditor'), from })).status).toBe(200);
  });

  it('lists deliveries in pages, by filters, without payloads', async () => {
    const first = await call('GET', '/api/deliveries?limit=2', as('auditor'));
    expect(first.body.deliveries).toMatchObject([
      {
        id: 3,
        status: 'pending',
        event_type: 'appointment.confirmed',
        entity: { table: 'appointments', key: '2' },
      },
      {
        id: 2,
        status: 'exhausted',
        webhook_name: 'Pagos',
        occurred_at: '2026-03-07T15:30:00.123Z',
        delivered_at: null,
      },
    ]);
    expect(JSON.stringify(first.body)).not.toContain('😷');
    const next = await call('GET', `/api/deliveries?limit=2&cursor=${first.body.next_cursor}`, as('auditor'));
    expect(next.body).toMatchObject({ deliveries: [{ id: 1 }], next_cursor: null });
    const some = await call(
      'GET',
      '/api/deliveries?webhook=Pagos&status=exhausted&patient=46&event=appointment.*&since=2026-03-07',
      as('auditor'),
    );
    expect(some.body.deliveries.map(({ id }) => id)).toEqual([2]);
    expect(
      (await call('GET', '/api/deliveries?entity=appointments:0', as('auditor'))).body.deliveries,
    ).toHaveLength(1);
  });

  it.each([
    ['GET', '/api/deliveries?limit=501', undefined],
    ['GET', '/api/deliveries?since=ayer', undefined],
    ['GET', '/api/deliveries?since=2026-13-45', undefined],
    ['GET', '/api/deliveries?since=2026-02-01&until=2026-01-01', undefined],
    ['GET', '/api/deliveries?since=2026-01-01&until=2026-01-01', undefined],
    ['GET', '/api/audit?since=2026-02-01&until=2026-01-01', undefined],
    ['GET', '/api/patients/45/deliveries?since=2026-02-01&until=2026-01-01', undefined],
    ['GET', '/api/deliveries?colour=red', undefined],
    ['GET', '/api/deliveries/one', undefined],
    ['POST', '/api/replays', { webhook: 'Pagos', since: '2026-01-01' }],
    ['POST', '/api/replays', { webhook: 'Pagos', since: '2026-01-01', reason: 'r', extra: 1 }],
    ['POST', '/api/replays', { webhook: 'Pagos', since: '2026-01-01', reason: 5 }],
    ['POST', '/api/replays', { webhook: 'Pagos', since: '2027-01-01', until: '2026-01-01', reason: 'r' }],
    ['POST', '/api/deliveries/1/retry', { force: true }],
    ['POST', '/api/patients/45/erase', {}],
  ])('refuses %s %s %j', async (method, path, body) => {
    const answer = await call(method, path, { ...as('admin'), body });
    expect(answer).toMatchObject({
      status: 400,
      body: { message: expect.any(String), code: expect.any(String) },
    });
  });

  it('names a field that it does not know', async () => {
    const body = { webhook: 'Pagos', since: '2026-01-01', reason: 'r', extra: 1 };
    expect((await call('POST', '/api/replays', { ...as('admin'), body })).body).toMatchObject({
      message: 'body has no field "extra"',
    });
  });

  it('tells whose token it is', async () => {
    expect((await call('GET', '/api/me', as('auditor'))).body).toEqual({
      name: 'an auditor',
      role: 'auditor',
    });
  });

  it('refuses a body that is too large, and what is not there', async () => {
    const body = { webhook: 'Pagos', since: '2026-01-01', reason: 'x'.repeat(70_000) };
    expect(await call('POST', '/api/replays', { ...as('admin'), body })).toMatchObject({ status: 413 });
    expect(await call('GET', '/api/deliveries/77', as('auditor'))).toMatchObject({
      status: 404,
      body: { code: 'ERR_NOT_FOUND' },
    });
    expect(await call('POST', '/api/deliveries/77/retry', as('operator'))).toMatchObject({ status: 404 });
    expect(
      await call('POST', '/api/replays', {
        ...as('operator'),
        body: { ...body, webhook: '99', reason: 'r' },
      }),
    ).toMatchObject({ status: 404 });
  });

  it('puts every reading of a payload, every retry and every replay on record, with the name of the token', async () => {
    const read = await call('GET', '/api/deliveries/1', as('auditor'));
    expect(read.body.delivery).toMatchObject({
      id: 1,
      payload: eventOf('e0', { key: '0' }).body,
      attempts: [{ number: 1, outcome: 'delivered', duration_ms: 12 }],
    });
    const before = queued;
    expect(await call('POST', '/api/deliveries/2/retry', as('operator'))).toMatchObject({
      body: { success: true, result: 'reopened' },
    });
    expect(queued).toBe(before + 1);
    const selection = { webhook: 'Pagos', since: '2026-03-01', events: ['appointment.*'] };
    const counted = await call('POST', '/api/replays/preview', { ...as('operator'), body: selection });
    expect(counted.body).toEqual({ total: 3, by_type: [{ type: 'appointment.confirmed', count: 3 }] });
    const made = await call('POST', '/api/replays', {
      ...as('operator'),
      body: { ...selection, reason: 'restored' },
    });
    expect(made).toMatchObject({ status: 201, body: { success: true, id: 1, total: 3 } });
    expect((await call('GET', '/api/replays', as('auditor'))).body.replays).toMatchObject([
      { id: 1, webhook_id: 1, reason: 'restored', requested_by: 'an operator', state: 'running' },
    ]);
    expect((await call('GET', '/api/replays/1', as('auditor'))).body).toMatchObject({
      replay: { id: 1, queued: 0, total: 3, since_ms: Date.parse('2026-03-01') },
    });
    expect((await call('POST', '/api/replays/1/cancel', as('operator'))).body).toEqual({
      success: true,
      cancelled: true,
    });
    const acts = await call('GET', '/api/audit?limit=4', as('auditor'));
    expect(acts.body.acts.map(({ actor, role, action, target }) => [actor, role, action, target])).toEqual([
      ['an operator', 'operator', 'replay.cancel', '1'],
      ['an operator', 'operator', 'replay.create', '1'],
      ['an operator', 'operator', 'delivery.retry', '2'],
      ['an auditor', 'auditor', 'delivery.read', '1'],
    ]);
  });

  it('tells who received what about a patient, erases it, and proves the log afterwards', async () => {
    while (await sealOnce(test.vault));
    const access = await call('GET', '/api/patients/45/deliveries', as('auditor'));
    expect(access.body.deliveries).toMatchObject([
      { id: 3, webhook_url: null, receivers: [], fields: ['appointment_id', 'note'] },
      { id: 1, status: 'delivered', fields: ['appointment_id', 'note'] },
    ]);
    const erased = await call('POST', '/api/patients/45/erase', {
      ...as('admin'),
      body: { reason: 'asked' },
    });
    expect(erased.body).toEqual({
      ...{ success: true, events: 2, ended: 1, being_sent: 0, key_file: null },
      ...{ behind_bytes: null, unknown: [] },
    });
    expect((await call('GET', '/api/deliveries/1', as('auditor'))).body.delivery).toMatchObject({
      payload: null,
      response_body: null,
    });
    while (await sealOnce(test.vault));
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, payloads: { erased: 2, proved: 1 } });
    const verified = await call('POST', '/api/audit/verify', as('auditor'));
    expect(verified.body.verification).toMatchObject({ ok: true, last_seal: 3 });
    expect((await call('GET', '/api/audit/head', as('auditor'))).body.head).toMatchObject({ number: 3 });
    const { items } = await listActs(test.store, { action: 'patient.*' }, { limit: 2 });
    expect(items.map(({ action, actor }) => [action, actor])).toEqual([
      ['patient.erase', 'an admin'],
      ['patient.access', 'an auditor'],
    ]);
  });

  it('erases all numbers of a patient, names the unknown ones, and refuses where it knows none', async () => {
    const erase = (patient: string, also: string[]) =>
      call('POST', `/api/patients/${patient}/erase`, { ...as('admin'), body: { reason: 'asked', also } });
    expect(await erase('450', ['45', '451'])).toMatchObject({
      status: 200,
      body: { success: true, unknown: ['450', '451'] },
    });
    expect(await erase('450', ['451'])).toMatchObject({
      status: 404,
      body: { code: 'ERR_UNKNOWN_PATIENT', message: expect.stringContaining('"450", "451"') },
    });
  });

  it('describes every route in OpenAPI 3.1', async () => {
    const { body } = await call('GET', '/api/openapi.json', as('auditor'));
    expect(body.openapi).toBe('3.1.0');
    const described = Object.entries(body.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(described.toSorted()).toEqual(
      apiRoutes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`).toSorted(),
    );
    const ids = Object.values(body.paths).flatMap((each) =>
      Object.values(each).map(({ operationId }) => operationId),
    );
    expect(new Set(ids).size).toBe(apiRoutes.length);
    // What bodies and parameters may be is valid JSON Schema of the draft that OpenAPI 3.1 takes.
    const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
    for (const { requestBody, parameters, responses } of Object.values(body.paths).flatMap(
      Object.values<Operation>,
    )) {
      const schemas = [
        requestBody?.content['application/json'].schema,
        ...parameters.map(({ schema }) => schema),
        ...Object.values(responses).map(({ content }) => content?.['application/json'].schema),
      ];
      for (const schema of schemas) if (schema) expect(() => ajv.compile(schema)).not.toThrow();
    }
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listActs } from '../../src/audit/act/acts.ts';
import { flavours } from '../support/server.ts';
import {
  addWebhook,
  claimant,
  eventOf,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestStore,
} from '../outbox/support.ts';
import { ask, startTestApi, type TestApi } from './support.ts';

interface Reading {
  path: string;
  body?: object;
  /** Action and target of what must be on record. */
  act: [action: string, target: string | null];
}

/**
 * Every route of the server: what of a patient it reveals, and which act puts that on record. A route that is not here fails the test.
 */
const entries: Record<string, 'no patient' | readonly Reading[]> = {
  'GET /healthz': 'no patient',
  'GET /readyz': 'no patient',
  'GET /metrics': 'no patient',
  'GET /api/status': 'no patient',
  'GET /api/events': 'no patient',
  'GET /api/me': 'no patient',
  'GET /api/openapi.json': 'no patient',
  'GET /api/webhooks': 'no patient',
  'GET /api/webhooks/:id': 'no patient',
  'POST /api/webhooks': 'no patient',
  'PATCH /api/webhooks/:id': 'no patient',
  'DELETE /api/webhooks/:id': 'no patient',
  'DELETE /api/webhooks': 'no patient',
  'POST /api/webhooks/:id/rotate-secret': 'no patient',
  'POST /api/webhooks/:id/test': 'no patient',
  'POST /api/webhooks/:id/pause': 'no patient',
  'POST /api/webhooks/:id/resume': 'no patient',
  'POST /api/webhooks/:id/enable': 'no patient',
  'POST /api/webhooks/:id/disable': 'no patient',
  'POST /api/deliveries/:id/retry': 'no patient',
  'GET /api/replays': 'no patient',
  'GET /api/replays/:id': 'no patient',
  'POST /api/replays/preview': 'no patient',
  'POST /api/replays': 'no patient',
  'POST /api/replays/:id/cancel': 'no patient',
  // Acts name patients by number, as the audit log must; nothing of what was sent.
  'GET /api/audit': 'no patient',
  'GET /api/audit/head': 'no patient',
  'POST /api/audit/verify': 'no patient',
  'GET /api/deliveries': [
    { path: '/api/deliveries', act: ['delivery.list', null] },
    { path: '/api/deliveries?status=sending', act: ['delivery.list', null] },
    { path: '/api/deliveries?patient=45', act: ['patient.access', '45'] },
    { path: '/api/deliveries?patient=045', act: ['patient.access', '045'] },
    { path: '/api/deliveries?entity=appointments:7', act: ['patient.access', '46'] },
    { path: '/api/deliveries?entity=appointments:99', act: ['delivery.list', null] },
  ],
  'GET /api/deliveries/:id': [{ path: '/api/deliveries/1', act: ['delivery.read', '1'] }],
  'GET /api/patients/:patient/deliveries': [
    { path: '/api/patients/45/deliveries', act: ['patient.access', '45'] },
  ],
  'POST /api/patients/:patient/erase': [
    { path: '/api/patients/45/erase', body: { reason: 'asked' }, act: ['patient.erase', '45'] },
    {
      path: '/api/patients/45/erase',
      body: { reason: 'asked', also: ['46'] },
      act: ['patient.erase', '46'],
    },
  ],
};

describe.each(flavours)('what readers of the API leave on record, on %s', (flavour) => {
  let test: TestStore;
  let api: TestApi;

  beforeAll(async () => {
    test = await openTestStore(flavour);
    await addWebhook(test.vault, { name: 'Pagos', url: 'https://pagos.example/hook' });
    const outbox = await openTestAppender(claimant(test.store), test.vault);
    await outbox.append(
      [eventOf('e1', { subject: '45', key: '1' }), eventOf('e2', { subject: '46', key: '7' })],
      { room: muchRoom },
    );
    api = await startTestApi(test);
  });
  afterAll(async () => {
    await api.stop();
    await test.close();
  });

  it('knows every route that is registered', () => {
    const registered = api.http.routes.filter((route) => !route.startsWith('HEAD '));
    expect(registered.toSorted()).toEqual(Object.keys(entries).toSorted());
  });

  const readings = Object.entries(entries).flatMap(([route, kind]) =>
    kind === 'no patient' ? [] : kind.map((reading) => ({ method: route.split(' ')[0]!, ...reading })),
  );

  it.each(readings)('puts $method $path on record', async ({ method, path, body, act }) => {
    const newest = async () => (await listActs(test.store, { actor: 'an admin' }, { limit: 1 })).items[0];
    const before = (await newest())?.id ?? 0;
    const headers = { authorization: 'Bearer admin-token' };
    const { status } = await ask(api.http.url + path, { method, headers, ...(body && { body }) });
    expect(status).toBe(200);
    const after = await newest();
    expect(after!.id).toBeGreaterThan(before);
    expect([after!.actor, after!.action, after!.target]).toEqual(['an admin', ...act]);
  });

  it('puts a list that names no patient on record once in ten minutes for each reader and filter', async () => {
    const list = (token: string, query = '') =>
      ask(`${api.http.url}/api/deliveries${query}`, { headers: { authorization: `Bearer ${token}` } });
    const count = async () =>
      (await listActs(test.store, { action: 'delivery.list' }, { limit: 100 })).items.length;
    await list('admin-token');
    const first = await count();
    await list('admin-token');
    expect(await count()).toBe(first);
    await list('auditor-token');
    expect(await count()).toBe(first + 1);
    await list('admin-token', '?status=delivered');
    expect(await count()).toBe(first + 2);
  });

  it('answers nothing that is not on record', async () => {
    await test.store.run('RENAME TABLE audit_log TO audit_log_away');
    try {
      for (const path of ['/api/deliveries?patient=45', '/api/deliveries', '/api/deliveries/1'])
        expect(
          await ask(api.http.url + path, { headers: { authorization: 'Bearer auditor-token' } }),
        ).toMatchObject({ status: 500, text: expect.not.stringContaining('45') });
    } finally {
      await test.store.run('RENAME TABLE audit_log_away TO audit_log');
    }
  });
});

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listAccess } from '../../src/audit/deliveries.ts';
import { erasePatient, knowsPatient } from '../../src/audit/erase.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import type { DomainEvent } from '../../src/event/types.ts';
import { createRouter } from '../../src/outbox/append/fan-out.ts';
import type { LogEnd } from '../../src/outbox/payload/standing-erasures.ts';
import { flavours } from '../support/server.ts';
import {
  addWebhook,
  checkpointAt,
  claimant,
  eventOf,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestAppender,
  type TestStore,
} from './support.ts';

const actor = { name: 'ana', role: 'admin' } as const;
const uuid = 'b8b5e0a4-0000-4000-8000-000000000001';

describe.each(flavours)('erasures that stand, on %s', (flavour) => {
  let test: TestStore;
  let outbox: TestAppender;
  let number = 0;

  beforeEach(async () => {
    test = await openTestStore(flavour);
    await addWebhook(test.vault);
    outbox = await openTestAppender(claimant(test.store), test.vault);
    number = 0;
  });
  afterEach(() => test.close());

  /** Another process captures from now on. */
  const takeOver = async (store = test.store): Promise<void> => {
    await test.store.run('UPDATE leases SET expires_at = UTC_TIMESTAMP(3)');
    outbox = await openTestAppender(claimant(store), { ...test.vault, store });
  };

  const about = (subject: string, overrides: Partial<DomainEvent> = {}): DomainEvent =>
    eventOf(`e${(number += 1)}`, { subject, key: String(number), ...overrides });

  /** One transaction of the source. */
  const append = (id: string, events: DomainEvent[], lineage = 'lineage-1') =>
    outbox.appender.append(
      { transactions: [{ id, events }], checkpoint: { ...checkpointAt(number), lineage } },
      { route: createRouter(outbox.webhooks), room: muchRoom },
    );
  const gtid = (n: number): string => `${uuid}:${n}`;
  const endAt = (n: number): LogEnd => ({
    flavour: 'mysql',
    position: { gtid: `${uuid}:1-${n}`, file: 'binlog.000001', offset: n * 100 },
  });
  const erase = (patient: string, logEnd?: LogEnd) =>
    erasePatient(test.vault, { patient, reason: 'asked', actor, ...(logEnd && { logEnd }) });
  /** By event: whether its payload is there. */
  const payloads = async (): Promise<boolean[]> =>
    (
      await test.store.rows<{ kept: number }>('SELECT body IS NOT NULL AS kept FROM event_log ORDER BY seq')
    ).map(({ kept }) => kept === 1);

  it('cover what is appended late, up to the end of the log at the erasure, and no other patient', async () => {
    await append(gtid(1), [about('45')]);
    expect(await erase('45', endAt(3))).toMatchObject({ known: true, events: 1 });
    expect(await append(gtid(2), [about('45'), about('46')])).toMatchObject({
      events: 2,
      erased: 1,
      deliveries: 1,
      fresh: [{ lane: expect.any(String) }],
    });
    expect(await append(gtid(3), [about('45')])).toMatchObject({ events: 1, erased: 1, deliveries: 0 });
    expect(await append(gtid(4), [about('45')])).toMatchObject({ events: 1, erased: 0, deliveries: 1 });
    expect(await payloads()).toEqual([false, false, true, false, true]);
    while (await sealOnce(test.vault));
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true });
  });

  it('are seen by another process, and by one that reads the transaction again', async () => {
    await erase('45', endAt(3));
    const other = test.another();
    await takeOver(other);
    expect(await append(gtid(2), [about('45')])).toMatchObject({ erased: 1, deliveries: 0 });
    await erasePatient(
      { ...test.vault, store: test.store },
      { patient: '46', reason: 'r', actor, logEnd: endAt(5) },
    );
    expect(await append(gtid(3), [about('46')])).toMatchObject({ erased: 1, deliveries: 0 });
    number = 0;
    expect(await append(gtid(2), [about('45')])).toMatchObject({ events: 0, copies: 1 });
  });

  it('cover a transaction that is staged in parts, before and after its parts', async () => {
    const route = createRouter(outbox.webhooks);
    const first = about('45');
    await outbox.appender.stage({ id: gtid(2), events: [first, about('46')] }, route);
    await erase('45', endAt(2));
    expect(await outbox.appender.stage({ id: gtid(2), events: [about('45')] }, route)).toMatchObject({
      erased: 1,
    });
    await outbox.appender.flip(checkpointAt(2), outbox.webhooks);
    expect(await payloads()).toEqual([false, true, false]);
    const deliveries = await test.store.rows<{ seq: number }>('SELECT event_seq AS seq FROM delivery_log');
    expect(deliveries.map(({ seq }) => seq)).toEqual([1, 2]);
  });

  it('go by file and offset without GTIDs, and not into another lineage', async () => {
    await append('binlog.000001:100', [about('46')]);
    const end = { flavour: 'mysql', position: { gtid: null, file: 'binlog.000001', offset: 500 } } as const;
    await erase('45', end);
    expect(await append('binlog.000001:400', [about('45')])).toMatchObject({ erased: 1 });
    expect(await append('binlog.000001:500', [about('45')])).toMatchObject({ erased: 0 });
    // After a RESET, begun by a person: another lineage, read by a new term.
    await test.store.run("UPDATE checkpoint SET lineage = 'lineage-2', epoch = epoch + 1");
    await takeOver();
    expect(await append('binlog.000001:200', [about('45')], 'lineage-2')).toMatchObject({ erased: 0 });
  });

  it('go by the time where another server of MariaDB continued the domain, and by the number above it', async () => {
    const end = { file: 'binlog.000001', offset: 500 };
    const later = { occurredAtMs: Date.parse('2100-01-01') };
    await append('0-1-1', [about('46')]);
    await erase('45', { flavour: 'mariadb', position: { gtid: '0-2-150,7-1-3', ...end } });
    for (const [id, erased, event] of [
      ['0-1-90', 1, about('45')],
      ['0-2-91', 1, about('45')],
      // What server 2 was promoted without: it may use the numbers again (gtid_strict_mode=0).
      ['0-1-149', 0, about('45', later)],
      ['0-1-150', 1, about('45')],
      ['0-1-151', 0, about('45')],
      ['0-2-151', 0, about('45')],
      ['0-2-149', 1, about('45', later)],
      ['7-1-3', 1, about('45')],
      ['8-1-1', 0, about('45')],
    ] as const)
      expect([id, (await append(id, [event])).erased]).toEqual([id, erased]);
  });

  it('go by the time where the source did not answer', async () => {
    await erase('45', { flavour: 'mysql', position: null });
    expect(await append(gtid(1), [about('45')])).toMatchObject({ erased: 1 });
    const later = about('45', { occurredAtMs: Date.parse('2100-01-01') });
    expect(await append(gtid(2), [later])).toMatchObject({ erased: 0 });
  });

  it('are believed only where this program wrote them', async () => {
    await append(gtid(1), [about('46')]);
    const details = JSON.stringify({ last_event: 0, log_end: { ...endAt(9), lineage: null } });
    await test.store.run(
      "INSERT INTO audit_log (actor, role, action, target, details) VALUES ('x', 'admin', 'patient.erase', '45', ?)",
      [details],
    );
    await takeOver();
    expect(await append(gtid(2), [about('45')])).toMatchObject({ erased: 0, deliveries: 1 });
  });
});

/** Near '45', and not it. */
const near = [
  ...[
    '045',
    ' 45',
    '45 ',
    '45\t',
    '45abc',
    '45.0',
    '4 5',
    '+45',
    '0x2d',
    '４５',
    '45\u0000',
    '45\u200b',
    '-45',
    "45' OR '1",
    '45%',
    '4_',
  ],
  ...['a', 'A', 'á', 'á'.normalize('NFD'), 'ß', 'ss', '😷', '😀'],
  ...['9007199254740993', '9007199254740992', `1${'0'.repeat(300)}`, `1${'0'.repeat(299)}1`],
];

describe.each(flavours)('the number of a patient, on %s', (flavour) => {
  let test: TestStore;
  const subjects = ['45', ...near];

  beforeEach(async () => {
    test = await openTestStore(flavour);
    await addWebhook(test.vault);
    const outbox = await openTestAppender(claimant(test.store), test.vault);
    await outbox.append(
      subjects.map((subject, n) => eventOf(`e${n}`, { subject, key: String(n) })),
      { room: muchRoom },
    );
  });
  afterEach(() => test.close());

  it('is compared byte by byte, in every list and erasure', async () => {
    for (const [n, patient] of subjects.entries()) {
      const { items } = await listAccess(test.vault, { patient }, { limit: 50 });
      expect({ patient, ids: items.map(({ id }) => id) }).toEqual({ patient, ids: [n + 1] });
      expect(await erasePatient(test.vault, { patient, reason: 'asked', actor })).toMatchObject({
        known: true,
        events: 1,
      });
      const left = await test.store.rows<{ seq: number }>('SELECT seq FROM event_log WHERE body IS NOT NULL');
      expect(left).toHaveLength(subjects.length - n - 1);
    }
    while (await sealOnce(test.vault));
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true });
  });

  it('is known or not, exactly; and an empty one is none', async () => {
    for (const patient of subjects) expect(await knowsPatient(test.store, patient)).toBe(true);
    for (const patient of ['44', '45  ', '', 'Á', '0', '1e300', '45\n'])
      expect({ patient, known: await knowsPatient(test.store, patient) }).toEqual({ patient, known: false });
    expect(await erasePatient(test.vault, { patient: '45  ', reason: 'asked', actor })).toMatchObject({
      known: false,
      events: 0,
    });
    expect(await knowsPatient(test.store, '45  ')).toBe(false);
    await expect(erasePatient(test.vault, { patient: '', reason: 'asked', actor })).rejects.toMatchObject({
      code: 'ERR_USAGE',
    });
  });
});

import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { erasePatient } from '../../src/audit/erase.ts';
import { countDeliveries, listDeliveries } from '../../src/audit/deliveries.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { clearCipher, createCipher } from '../../src/crypto/cipher.ts';
import { laneOf } from '../../src/outbox/append/lane.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { servers } from '../support/server.ts';
import {
  addWebhook,
  claimant,
  delivered,
  eventOf,
  muchRoom,
  openTestAppender,
  openTestStore,
} from './support.ts';

/** Keys that some collation takes for one: by padding, folding of case, accents or width, normal forms, ignored characters. */
const keys = [
  ...[
    'A-1',
    'A-1 ',
    'A-1  ',
    ' A-1',
    'a-1',
    'Á-1',
    'A\u0301-1',
    'Ａ-1',
    'A-1\t',
    'A-1\0',
    'A\u00ad-1',
    'A-1\u00a0',
  ],
  ...['ß', 'ss', 'İ', 'i', '😷', '🦷', '1', '01', '1.0', '%', '_', "'", '\\', 'ñ', 'n\u0303'],
  // The cut of a key that is too long must not fall within a character.
  `${'x'.repeat(189)}😷${'x'.repeat(100)}`,
  `${'x'.repeat(189)}🦷${'x'.repeat(100)}`,
];
const boxes = [
  { name: 'in the clear', cipher: clearCipher },
  { name: 'encrypted', cipher: createCipher([{ id: 'k', bytes: randomBytes(32) }]) },
];

describe.each(servers)('keys of rows on %s', (variant) => {
  it.each(boxes)('are compared byte by byte, $name', async ({ cipher }) => {
    const test = await openTestStore(variant);
    onTestFinished(() => test.close());
    const vault = { ...test.vault, cipher };
    await addWebhook(vault);
    const me = claimant(test.store, { cipher });
    const outbox = await openTestAppender(me, vault);
    for (const [index, key] of keys.entries()) {
      const { fresh } = await outbox.append([eventOf(`e${index}`, { key, subject: key })], {
        room: muchRoom,
      });
      expect(fresh.map(({ lane }) => lane)).toEqual([String(laneOf(1, { table: 'appointments', key }))]);
      await settle(me, fresh.map(delivered));
    }
    // Another process, which remembers no key, finds each again.
    const next = await openTestAppender(me, vault);
    const again = keys.map((key, index) => eventOf(`again ${index}`, { key, subject: key }));
    const { fresh } = await next.append(again, { room: muchRoom });
    await settle(me, fresh.map(delivered));
    await sealOnce(vault);
    expect(await verifyLog(vault)).toMatchObject({ ok: true, flaw: null });

    const subjects = await test.store.rows<{ n: number }>(
      "SELECT COUNT(*) AS n FROM subject_keys WHERE subject <> ''",
    );
    expect(subjects).toEqual([{ n: keys.length }]);
    for (const key of keys.filter(({ length }) => length < 100)) {
      const filter = { entity: { table: 'appointments', key } };
      expect([key, await countDeliveries(test.store, filter)]).toEqual([key, 2]);
    }
    const actor = { name: 'ana', role: 'admin' } as const;
    await erasePatient(vault, { actor, patient: 'A-1', reason: 'asked' });
    const page = await listDeliveries(vault.store, {}, { limit: 100 });
    expect(page.items).toHaveLength(2 * keys.length);
    expect(await verifyLog(vault)).toMatchObject({ ok: true, flaw: null });
    const left = await test.store.rows<{ n: number }>(
      "SELECT COUNT(*) AS n FROM subject_keys WHERE subject <> ''",
    );
    expect(left).toEqual([{ n: keys.length - 1 }]);
  });
});

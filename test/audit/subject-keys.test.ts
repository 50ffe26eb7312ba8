import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { createCipher } from '../../src/crypto/cipher.ts';
import {
  addWebhook,
  claimant,
  eventOf,
  openTestAppender,
  openTestStore,
  type TestStore,
} from '../outbox/support.ts';
import { flavours } from '../support/server.ts';

const cipher = createCipher([{ id: 'k1', bytes: Buffer.alloc(32, 1) }]);

describe.each(flavours)('keys of patients that SQL edits in an encrypted store on %s', (flavour) => {
  let test: TestStore;
  let vault: TestStore['vault'];

  beforeAll(async () => {
    test = await openTestStore(flavour);
    vault = { ...test.vault, cipher };
    await addWebhook(vault);
    const outbox = await openTestAppender(claimant(test.store, { cipher }), vault);
    await outbox.append(['1', '2'].map((subject) => eventOf(`event ${subject}`, { subject, key: subject })));
    while (await sealOnce(vault));
    await test.schema.query('CREATE TABLE kept AS SELECT * FROM subject_keys');
  });
  afterAll(() => test.close());

  it.each([
    ['key', 'is that of another patient', 'other.`key`'],
    ['payload_key', 'is that of another patient', 'other.payload_key'],
    ['key', 'is cut off', 'LEFT(edited.`key`, 20)'],
    ['payload_key', 'is cut off', 'LEFT(edited.payload_key, 20)'],
  ])('names the row and the column where %s %s', async (column, _what, value) => {
    const row = "edited.subject = '1'";
    await test.schema.query(
      `UPDATE subject_keys edited JOIN subject_keys other ON other.subject = '2' SET edited.\`${column}\` = ${value} WHERE ${row}`,
    );
    const { ok, flaw } = await verifyLog(vault);
    await test.schema.query(
      'UPDATE subject_keys edited JOIN kept USING (id) SET edited.`key` = kept.`key`, edited.payload_key = kept.payload_key',
    );
    expect({ ok, ...flaw }).toMatchObject({ ok: false, kind: 'edited', fields: [column] });
    expect(flaw!.message).toMatch(new RegExp(`^subject_keys, row \\d+: the column ${column} was edited`));
    expect(await verifyLog(vault)).toMatchObject({ ok: true });
  });
});

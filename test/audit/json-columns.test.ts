import { getTableColumns, getTableName } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { listActs } from '../../src/audit/act/acts.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { codeOf } from '../../src/lib/errors.ts';
import { readCaptureState } from '../../src/outbox/checkpoint.ts';
import { readDecoderRecord, readDifferences } from '../../src/outbox/decoder-record.ts';
import { flavours } from '../support/server.ts';
import { openFilledStore, tables, type FilledStore } from './filled-store.ts';

const columns = tables.flatMap((table) =>
  Object.values(getTableColumns(table))
    .filter((column) => column.getSQLType() === 'json')
    .map(({ name }) => [getTableName(table), name] as const),
);

const documents = ['[]', '{}', '"x"', 'null', '1', '[{}]', '{"a":1}'];

/** What this program may itself have written there: nothing to find. */
const own = new Set([
  'checkpoint.waived []',
  'known_tables.baseline {}',
  // Read as no filter, which is what the webhook has.
  'webhooks.filter null',
]);
/** How messages name the rows of the tables that have a name of their own. */
const nouns: Readonly<Record<string, string>> = {
  audit_log: 'act ',
  event_log: 'event ',
  replays: 'replay',
  webhooks: 'webhook ',
};

const edits = columns.flatMap(([table, column]) =>
  documents.map((document) => [table, column, document] as const),
);

describe('the columns', () => {
  it('are all that are JSON', () => {
    expect(columns.map((names) => names.join('.')).toSorted()).toEqual([
      'audit_log.details',
      'checkpoint.halt',
      'checkpoint.waived',
      'event_log.read_late',
      'installation.decoder_check',
      'known_tables.baseline',
      'known_tables.keys_in_force',
      'replays.events',
      'seal_state.anchor',
      'seal_state.progress',
      'seals.progress',
      'webhooks.events',
      'webhooks.fields',
      'webhooks.filter',
      'webhooks.headers',
    ]);
  });
});

describe.each(flavours)('a JSON column of another shape on %s', (flavour) => {
  let test: FilledStore;

  beforeAll(async () => {
    test = await openFilledStore(flavour);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    await test.restore();
    await test.schema.query('DELETE FROM known_tables; INSERT INTO known_tables (id) VALUES (1)');
  });

  async function readAsDaemon(): Promise<unknown[]> {
    const { store, vault } = test;
    const reads = [
      () => sealOnce(vault),
      () => readCaptureState(store),
      () => readDifferences(store),
      () => readDecoderRecord(store, 'versions'),
      () => listActs(store, {}, { limit: 100 }),
    ];
    const codes: unknown[] = [];
    for (const read of reads) {
      try {
        await read();
      } catch (error) {
        codes.push(codeOf(error) ?? error);
      }
    }
    return codes.filter((code) => code !== 'ERR_AUDIT');
  }

  it.each(edits)('is an edit that is named: %s.%s is %s', async (table, column, document) => {
    const kept = table === 'webhooks' ? 'updated_at = updated_at, ' : '';
    await test.schema.query(`UPDATE ${table} SET ${kept}\`${column}\` = '${document}'`);
    const { ok, flaw } = await verifyLog(test.vault);
    if (own.has(`${table}.${column} ${document}`)) expect(flaw).toBeNull();
    else {
      expect(ok).toBe(false);
      expect(flaw!.fields).toContain(column);
      expect(flaw!.message).toContain(nouns[table] ?? table);
      expect(flaw!.message).toContain(column);
    }
    expect(await readAsDaemon()).toEqual([]);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Transactions } from '../../src/capture/gap/gap.ts';
import { modes } from '../binlog/modes.ts';
import type { TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';
import { startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

/** `gifts` and the column `extra` are not there yet. */
const rules = `
missing: warn
events:
  item.created: { table: items, on: insert, data: { name: name, label: label, extra: extra, doc: doc } }
  item.moved: { table: items, on: update, when: { qty: { changes: true } }, data: { name: name, qty: qty } }
  gift.created: { table: gifts, on: insert, data: { name: name, password: contrasena } }
  archive.removed: { table: archive, on: delete, data: { text: text } }
`;
const moreRules = `${rules}
  visit.created: { table: visits, on: insert, when: { room: { is: 3 } }, data: { name: name } }
`;
const insert = (table: string, name: string): string => `INSERT INTO ${table} (name) VALUES ('${name}')`;
const columns = '(id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100))';
const gifts = `CREATE TABLE gifts ${columns}`;
/** More than a transaction may have in memory, and no event. */
const much = "INSERT INTO archive (text) VALUES (REPEAT('x', 5000000)), (REPEAT('y', 5000000))";

describe.each(modes)('what only the log shows of a table, on $name', { timeout: 180_000 }, (mode) => {
  let clinic: HaltingClinic;
  let schema: TestSchema;
  beforeAll(async () => {
    clinic = await startHaltingClinic(mode, rules);
    ({ schema } = clinic);
    await schema.query(
      `CREATE TABLE archive (id INT PRIMARY KEY AUTO_INCREMENT, text LONGTEXT);
       CREATE TABLE visits (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100), room INT)`,
    );
    await clinic.start();
    await clinic.untilReady();
  });
  afterAll(() => clinic.close());

  const extras = (): unknown[] =>
    clinic.receiver.received
      .filter(({ event }) => event === 'item.created')
      .map(({ data }) => data['extra'] ?? null);
  const untilDelivered = (event: string, ...names: string[]): Promise<unknown> =>
    waitFor(() => names.every((name) => clinic.delivered(event).includes(name)), {
      timeoutMs: 30_000,
      what: names.join(', '),
    });

  /** Lets the daemon capture nothing more until the statements are committed: when it comes to them, the last one is long in force. */
  async function whileBehind(...statements: string[]): Promise<void> {
    await clinic.start();
    await clinic.untilReady();
    const holder = await schema.connect();
    await holder.query(`START TRANSACTION; SELECT * FROM ${clinic.storeName}.checkpoint FOR UPDATE`);
    await clinic.create('held');
    for (const statement of statements) await schema.query(statement);
    await holder.query('COMMIT');
  }

  async function whileDown(...statements: string[]): Promise<void> {
    await clinic.stop();
    for (const statement of statements) await schema.query(statement);
    await clinic.start();
  }

  describe.each([
    { state: 'the daemon is down', meanwhile: whileDown, table: 'gifts' },
    // How a missing one was spelled is unknown.
    { state: 'the daemon is behind', meanwhile: whileBehind, table: 'Gifts' },
  ])('while $state', ({ state, meanwhile, table }) => {
    it('delivers the rows of a table that was made and dropped, up to the drop', async () => {
      const compressed = (on: string): string[] =>
        mode.flavour === 'mysql' ? [`SET SESSION binlog_transaction_compression = ${on}`] : [];
      await meanwhile(
        `CREATE TABLE ${table} ${columns}`,
        // The rules name it, and it is never read.
        `ALTER TABLE ${table} ADD COLUMN contrasena VARCHAR(40)`,
        insert(table, `small, ${state}`),
        `START TRANSACTION; ${insert('items', `with it, ${state}`)}; ${much}; ${insert(table, `large, ${state}`)}; COMMIT`,
        ...compressed('ON'),
        `START TRANSACTION; ${much}; ${insert(table, `compressed, ${state}`)}; COMMIT`,
        ...compressed('OFF'),
        `DROP TABLE ${table}`,
        insert('items', `after the drop, ${state}`),
      );
      await clinic.untilHalted('truncate');
      const names = [`small, ${state}`, `large, ${state}`, `compressed, ${state}`];
      await untilDelivered('gift.created', ...names);
      await untilDelivered('item.created', `with it, ${state}`);
      expect(await clinic.accept('no gifts')).toMatchObject({ kind: 'transaction', gone: ['gifts'] });
      await untilDelivered('item.created', `after the drop, ${state}`);
      await clinic.untilReady();
      expect(clinic.delivered('gift.created').filter((name) => names.includes(String(name)))).toEqual(names);
      expect(clinic.delivered().filter((name) => name === `with it, ${state}`)).toHaveLength(1);
    });

    it('delivers the values of a column that was added and dropped, up to the first row without it', async () => {
      await meanwhile(
        'ALTER TABLE items ADD COLUMN extra VARCHAR(40)',
        `INSERT INTO items (name, extra) VALUES ('with, ${state}', 'kept, ${state}')`,
        'ALTER TABLE items DROP COLUMN extra',
        insert('items', `without, ${state}`),
      );
      await clinic.untilHalted('column-changed');
      await untilDelivered('item.created', `with, ${state}`);
      expect(extras()).toContain(`kept, ${state}`);
      expect(await clinic.accept('no extras')).toMatchObject({ kind: 'definition', gone: [] });
      await untilDelivered('item.created', `without, ${state}`);
      await clinic.untilReady();
    });
  });

  it('delivers the rows of a table that the rules newly name and that is dropped by then', async () => {
    await clinic.stop();
    await clinic.writeRules(moreRules);
    await whileDown(
      "INSERT INTO visits (name, room) VALUES ('seen', 3), ('elsewhere', 4)",
      'DROP TABLE visits',
      insert('items', 'after the visits'),
    );
    await clinic.untilHalted('truncate');
    await untilDelivered('visit.created', 'seen');
    await clinic.accept('no visits');
    await untilDelivered('item.created', 'after the visits');
    expect(clinic.delivered('visit.created')).toEqual(['seen']);
  });

  it('misses a column that goes away before any row was written', async () => {
    await clinic.start();
    await clinic.untilReady();
    await schema.query(gifts);
    await waitFor(
      async () => {
        await clinic.create('moves on');
        const [row] = await schema.query(`SELECT baseline FROM ${clinic.storeName}.known_tables`);
        return JSON.stringify(row?.['baseline'] ?? null).includes('gifts');
      },
      { timeoutMs: 30_000, everyMs: 250, what: 'the table to be known' },
    );
    await whileDown('ALTER TABLE gifts DROP COLUMN name', 'INSERT INTO gifts (id) VALUES (100)');
    await clinic.untilHalted('column-changed');
    expect(await clinic.accept('no names')).toMatchObject({ kind: 'definition' });
    await clinic.untilReady();
    await waitFor(() => clinic.delivered('gift.created').includes(undefined), {
      what: 'the gift without a name',
    });
  });

  it('counts all that cannot be read ahead, also in what only the log shows and in a huge transaction', async () => {
    await clinic.stop();
    await schema.query(`DROP TABLE gifts; ${insert('items', 'gone')}`);
    await clinic.start();
    await clinic.untilHalted('truncate');
    await clinic.stop();
    await schema.query(
      `${gifts}; ${insert('gifts', 'counted')};
       START TRANSACTION; ${much}; SET SESSION binlog_row_image = 'MINIMAL'; UPDATE items SET qty = qty + 1 WHERE name = 'gone'; COMMIT;
       SET SESSION binlog_row_image = 'FULL'; DELETE FROM items WHERE name = 'gone';
       DROP TABLE gifts; ${insert('items', 'after all of it')}`,
    );
    const gap = await clinic.accept('all of it', { untilMs: Infinity });
    const reasons = (gap as Transactions).scan!.unreadable.map(({ reason }) => reason);
    expect(reasons.toSorted()).toEqual(['absent-columns', 'truncate', 'truncate']);
    await clinic.start();
    await untilDelivered('item.created', 'gone', 'after all of it');
    await untilDelivered('gift.created', 'counted');
    await clinic.untilReady();
    // What was passed over is forgotten when reading begins anew.
    await clinic.stop();
    await clinic.start();
    await clinic.untilReady();
    const [row] = await schema.query(`SELECT waived FROM ${clinic.storeName}.checkpoint`);
    expect(row!['waived'] ?? '[]').toBe('[]');
  });

  it('knows what a column was that is gone, where the log does not say it', async () => {
    await whileDown(
      `INSERT INTO items (name, doc) VALUES ('with a document', '{"a": [1]}')`,
      'ALTER TABLE items DROP COLUMN doc',
      insert('items', 'without a document'),
    );
    await clinic.untilHalted('column-changed');
    await untilDelivered('item.created', 'with a document');
    const { data } = clinic.receiver.received.find((each) => each.data['name'] === 'with a document')!;
    expect(data['doc']).toEqual({ a: [1] });
    await clinic.accept('no documents');
    await untilDelivered('item.created', 'without a document');
    await clinic.untilReady();
  });

  if (mode.flavour === 'mariadb') {
    it.each([
      {
        name: 'the type of a column',
        halts: ['unsupported-type'] as const,
        statements: [
          'ALTER TABLE items ADD COLUMN extra UUID',
          "INSERT INTO items (name, extra) VALUES ('untold', UUID())",
          'ALTER TABLE items DROP COLUMN extra',
        ],
      },
      {
        name: 'whether a table kept its past',
        // The table had unread rows: that it went is a decision of its own.
        halts: ['unsupported-type', 'truncate'] as const,
        statements: [
          `CREATE TABLE gifts (id INT PRIMARY KEY, name VARCHAR(100), since TIMESTAMP(6) GENERATED ALWAYS AS ROW START,
            until TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (since, until)) WITH SYSTEM VERSIONING`,
          "INSERT INTO gifts (id, name) VALUES (1, 'untold')",
          'DROP TABLE gifts',
        ],
      },
    ])('halts where it cannot know $name', async ({ name, halts, statements }) => {
      await whileDown(...statements, insert('items', `after ${name}`));
      for (const reason of halts) {
        await clinic.untilHalted(reason);
        expect(await clinic.accept('it is gone')).toMatchObject({ kind: 'transaction' });
      }
      await untilDelivered('item.created', `after ${name}`);
      await clinic.untilReady();
      expect([...clinic.delivered(), ...clinic.delivered('gift.created')]).not.toContain('untold');
    });
  }
});

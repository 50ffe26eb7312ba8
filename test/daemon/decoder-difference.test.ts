import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ComparisonJob } from '../../src/binlog/second-reader/compare-with-zongji.ts';
import { runSecondReader } from '../../src/binlog/second-reader/second-reader.ts';
import { withFault } from '../binlog/second-reader/compare-log.ts';
import { modes } from '../binlog/modes.ts';
import { waitFor } from '../support/wait-for.ts';
import { startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

/** Our decoder with a fault in a column of a table, as zongji sees it; and the tables of each comparison. */
function faulty(table: string, column: string, seen: string[][] = []): typeof runSecondReader {
  return (job, limits) => {
    seen.push([...new Set(job.transactions.flatMap(({ rows }) => rows.map((row) => row.table.name)))]);
    const altered: ComparisonJob = withFault(job, column, (cell, row) =>
      row.table.name === table ? `${String(cell)}x` : cell,
    );
    return runSecondReader(altered, limits);
  };
}

const lost: RowFault = { type: 'row', alter: () => [] };
const mistaken: RowFault = {
  type: 'operation',
  alter: (rows) => rows.map((row) => ({ ...row, op: 'delete', before: row.after, after: null })),
};

interface RowFault {
  /** Of the difference. */
  type: string;
  alter(rows: ComparisonJob['transactions'][number]['rows']): typeof rows;
}

/** Our decoder with a fault in whole rows. */
const faultyRows =
  ({ alter }: RowFault): typeof runSecondReader =>
  (job, limits) =>
    runSecondReader(
      { ...job, transactions: job.transactions.map((each) => ({ ...each, rows: alter(each.rows) })) },
      limits,
    );

const sound = (seen: string[][]): typeof runSecondReader => faulty('', '', seen);

describe.each(modes)('the second reader of a daemon, on $name', (mode) => {
  let clinic: HaltingClinic;
  beforeAll(async () => {
    clinic = await startHaltingClinic(mode);
  });
  afterAll(() => clinic.close());

  const cellsCompared = async (): Promise<number> => {
    const { body } = await clinic.get('/metrics');
    return Number(/^odontology_webhooks_decoder_cells_compared_total (\d+)$/m.exec(body)?.[1]);
  };

  it('halts a first run before anything is sent, and continues once the difference is accepted', async () => {
    await clinic.create('Antes');
    await clinic.start(undefined, { compare: faulty('items', 'name') });
    await clinic.untilHalted('decoder-difference');
    await clinic.create('Primera');
    const { body } = await clinic.get('/readyz');
    expect(body).toContain(`${clinic.schema.name}.items.name (varchar(100))`);
    expect(body).not.toMatch(/Antes|Primera/);
    expect(clinic.delivered()).toEqual([]);

    const gap = await clinic.accept('zongji se equivoca');
    expect(gap.kind).toBe('decoder');
    await clinic.untilDelivered('Primera');
    expect(clinic.delivered('capture.gap')).toEqual([]);
    const { action, details } = await clinic.lastAct();
    expect(action).toBe('capture.accept-gap');
    expect(details).toMatchObject({
      given_up: null,
      reason: 'decoder-difference',
      differences: [`${clinic.schema.name}.items.name (varchar(100))`],
      accepted_because: 'zongji se equivoca',
    });
  });

  it('does not halt again at what was accepted, but at another difference, found beside capture', async () => {
    await clinic.stop();
    await clinic.start(undefined, { compare: faulty('spare', 'name') });
    await clinic.create('Segunda');
    await clinic.untilDelivered('Segunda');
    await clinic.schema.query("INSERT INTO spare (name) VALUES ('otra')");
    await clinic.untilHalted('decoder-difference');
    expect((await clinic.get('/readyz')).body).toContain('spare.name');
    await clinic.stop();
    // A restart does not end it.
    await clinic.start();
    await clinic.untilHalted('decoder-difference');
    const { stdout, code } = await clinic.cli(
      'resume',
      '--accept-gap',
      '--reason',
      'revisado',
      '--yes',
      '--json',
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ given_up: null, reason: 'decoder-difference' });
    await clinic.untilReady();
    await clinic.create('Tercera');
    await clinic.untilDelivered('Tercera');
  });

  it('compares the rows that come first beside capture, and remembers it', async () => {
    await clinic.stop();
    clinic.forget();
    await clinic.schema.query('DROP TABLE items; DROP TABLE spare');
    await clinic.schema.query(
      'CREATE TABLE items (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100), qty INT NOT NULL DEFAULT 0, label VARCHAR(40), note VARCHAR(40), doc JSON); CREATE TABLE spare (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100))',
    );
    await clinic.writeRules(
      'events: { item.created: { table: items, on: insert, data: { name: name, qty: qty } } }\n',
    );
    const seen: string[][] = [];
    // A version before this one captured: it has no record of a comparison.
    await clinic.start(undefined, { compare: sound(seen) });
    await clinic.untilReady();
    await clinic.schema.query(`UPDATE ${clinic.storeName}.installation SET decoder_check = NULL`);
    await clinic.stop();
    seen.length = 0;
    await clinic.start(undefined, { compare: sound(seen) });
    await clinic.untilReady();
    expect(seen).toEqual([]);
    await clinic.create('Cuarta');
    await clinic.untilDelivered('Cuarta');
    await waitFor(async () => (await cellsCompared()) > 0, { timeoutMs: 30_000, what: 'the comparison' });
    expect(seen).toEqual([['items']]);
    await clinic.stop();
    await clinic.start(undefined, { compare: sound(seen) });
    await clinic.untilReady();
    await clinic.create('Quinta');
    await clinic.untilDelivered('Quinta');
    const [row] = await clinic.schema.query(
      `SELECT decoder_check AS record FROM ${clinic.storeName}.installation`,
    );
    // JSON comes as text from MariaDB.
    const record: unknown = row!['record'];
    expect(typeof record === 'string' ? JSON.parse(record) : record).toMatchObject({
      tables: ['items'],
      differences: [],
      accepted: [],
    });
    expect(seen).toEqual([['items']]);
  });

  it.each([lost, mistaken])(
    'halts at a difference of a whole row ($type), which can be accepted',
    async (fault) => {
      await clinic.stop();
      clinic.forget();
      await clinic.create('Antes');
      await clinic.start(undefined, { compare: faultyRows(fault) });
      // On a slow machine the first comparison is given up, and this row is compared beside capture. It may lie before the place where
      // a first capture begins.
      await clinic.create(`Sexta ${fault.type}`);
      await clinic.untilHalted('decoder-difference');
      const difference = `${clinic.schema.name}.items (${fault.type})`;
      expect((await clinic.get('/readyz')).body).toContain(difference);
      const flags = ['--reason', 'revisado', '--yes', '--json'];
      const { stdout, stderr, code } = await clinic.cli('resume', '--accept-gap', ...flags);
      expect(stderr).toBe('');
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ given_up: null, differences: [difference] });
      await clinic.untilReady();
      await clinic.create(`Séptima ${fault.type}`);
      await clinic.untilDelivered(`Séptima ${fault.type}`);
      expect((await clinic.cli('audit', 'verify')).code).toBe(0);
    },
  );
});

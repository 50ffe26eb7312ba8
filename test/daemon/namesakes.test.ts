import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { modes } from '../binlog/modes.ts';
import { waitFor } from '../support/wait-for.ts';
import { startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

const rulesFor = (table: string): string => `
missing: warn
events:
  cita.inserted: { table: ${table}, on: insert, data: { id: id, name: estado } }
  item.created: { table: items, on: insert, data: { name: name } }
`;

const define = (table: string): string => `CREATE TABLE ${table} (id INT PRIMARY KEY, estado VARCHAR(20))`;

/** A server on Linux distinguishes the letter case of tables' names unless it was set up otherwise. */
const first = modes.filter(
  ({ flavour }, index) => modes.findIndex((each) => each.flavour === flavour) === index,
);

describe.each(first)('tables whose names differ in letter case alone, on $name', (mode) => {
  let clinic: HaltingClinic;
  beforeEach(async () => {
    clinic = await startHaltingClinic(mode, rulesFor('Citas'));
  });
  afterEach(() => clinic.close());

  const names = (): unknown[] => clinic.delivered('cita.inserted');
  const insert = (table: string, id: number): Promise<unknown> =>
    clinic.schema.query(`INSERT INTO ${table} VALUES (${id}, '${table} ${id}')`);
  const settle = async (mark: string): Promise<void> => {
    await clinic.create(mark);
    await clinic.untilDelivered(mark);
  };

  it('follows the table that the rules spell: at the first start, when a namesake is made, and after a restart', async () => {
    await clinic.schema.query(define('Citas'));
    await clinic.start();
    await clinic.untilReady();
    await clinic.schema.query(define('citas'));
    await insert('citas', 901);
    await insert('Citas', 1);
    await settle('live');
    await waitFor(() => names().length === 1, { what: 'the first row' });
    await clinic.schema.query(
      'TRUNCATE TABLE citas; ALTER TABLE citas DROP COLUMN estado; RENAME TABLE citas TO CITAS, CITAS TO citas; DROP TABLE citas',
    );
    await clinic.schema.query(define('citas'));
    await clinic.stop();
    await insert('Citas', 2);
    await insert('citas', 902);
    await clinic.start();
    await clinic.untilReady();
    await insert('citas', 903);
    await insert('Citas', 3);
    await settle('restarted');
    await waitFor(() => names().length === 3, { what: 'the rows after the restart' });
    expect(names()).toEqual(['Citas 1', 'Citas 2', 'Citas 3']);
    const { code, stdout } = await clinic.cli('check', '--decode');
    expect(stdout).toMatch(/\.Citas +3 +6\n/);
    expect(code).toBe(0);
  });

  it('stops where a table and its namesake change places', async () => {
    await clinic.schema.query(`${define('Citas')}; ${define('citas')}`);
    await clinic.start();
    await clinic.untilReady();
    await clinic.schema.query('RENAME TABLE Citas TO tmp, citas TO Citas, tmp TO citas');
    await clinic.untilHalted('truncate');
  });

  it('stops at a rename to the namesake, also when the daemon was away', async () => {
    await clinic.schema.query(define('Citas'));
    await clinic.start();
    await clinic.untilReady();
    await clinic.stop();
    await insert('Citas', 1);
    await clinic.schema.query('RENAME TABLE Citas TO citas');
    await clinic.start();
    await clinic.untilHalted('truncate');
    expect(names()).toEqual(['Citas 1']);
  });

  it('takes the only table that matches without regard to letter case, and stops when one that matches exactly is made', async () => {
    await clinic.schema.query(define('CITAS'));
    await clinic.start();
    await clinic.untilReady();
    await insert('CITAS', 1);
    await settle('only one');
    await waitFor(() => names().length === 1, { what: 'the row' });
    await clinic.schema.query(define('Citas'));
    await clinic.untilHalted('column-changed');
    expect((await clinic.get('/readyz')).body).toContain(
      'the rules mean another table than before: Citas, not CITAS',
    );
  });

  it('refuses rules that spell none of several tables, and rules that spell two of them', async () => {
    await clinic.schema.query(`${define('CITAS')}; ${define('citas')}`);
    await expect(clinic.start()).rejects.toMatchObject({ code: 'ERR_RULES' });
    const check = await clinic.cli('check');
    expect(check.code).not.toBe(0);
    expect(check.stdout + check.stderr).toMatch(
      /there are tables "CITAS" and "citas"[^]*write one of these names exactly/,
    );
    await clinic.writeRules(
      `${rulesFor('citas')}  other.inserted: { table: CITAS, on: insert, data: { id: id } }\n`,
    );
    expect((await clinic.cli('check')).stdout).toMatch(/one rules file can name one of them/);
  });
});

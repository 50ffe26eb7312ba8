import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HaltError } from '../../../src/binlog/halt.ts';
import type { Baseline, Position } from '../../../src/binlog/types.ts';
import { byName, endOfLog, openReader, takeUntil } from '../../support/read-log.ts';
import { createSchema, servers, sharedServer, type TestSchema } from '../../support/server.ts';

const columns = `id INT NOT NULL, a VARCHAR(20) CHARACTER SET utf8mb4, b VARCHAR(20) CHARACTER SET utf8mb4, d DECIMAL(8,2), other INT, PRIMARY KEY (id)`;
const vitess = '_vt_vrp_6ace8bcef73211ea87e9f875a4d24e90_20200915120410_';

/** How a tool makes its copy, and how it puts it in the place of the table; `%e` is another schema, `%w` the watched one. */
interface Tool {
  name: string;
  copy: string;
  create: string[];
  swap: string[];
}

const tools: Tool[] = [
  {
    name: 'gh-ost',
    copy: '%w._t_gho',
    create: [
      'CREATE TABLE %w._t_ghc (id BIGINT AUTO_INCREMENT PRIMARY KEY)',
      'CREATE TABLE %w._t_gho LIKE %w.t',
    ],
    swap: [
      'CREATE TABLE %w._t_del (id INT AUTO_INCREMENT PRIMARY KEY)',
      'DROP TABLE %w._t_del',
      'RENAME TABLE %w.t TO %w._t_del, %w._t_gho TO %w.t',
      'DROP TABLE IF EXISTS %w._t_ghc, %w._t_del',
    ],
  },
  {
    name: 'pt-online-schema-change',
    copy: '%w._t_new',
    create: [`CREATE TABLE %w._t_new (${columns})`],
    swap: ['RENAME TABLE %w.t TO %w._t_old, %w._t_new TO %w.t', 'DROP TABLE IF EXISTS %w._t_old'],
  },
  {
    name: 'LHM',
    copy: '%w.lhmn_t',
    create: [`CREATE TABLE lhmn_t (${columns})`],
    swap: ['RENAME TABLE t TO lhma_2026_11_27_t, lhmn_t TO t'],
  },
  {
    name: 'Vitess',
    copy: `%w.${vitess}`,
    create: [`CREATE TABLE ${vitess} LIKE t`],
    swap: [`RENAME TABLE t TO _vt_hld_1, ${vitess} TO t, _vt_hld_1 TO ${vitess}`],
  },
  {
    name: 'a copy that is made in another schema',
    copy: '%e.x',
    create: ['CREATE TABLE %e.x LIKE %w.t'],
    swap: ['ALTER TABLE %e.x RENAME TO %w._t_new', 'RENAME TABLE %w.t TO %w._t_old, %w._t_new TO %w.t'],
  },
  {
    name: 'a copy that is made by SELECT and renamed',
    copy: '%w.nueva',
    create: ['CREATE TABLE nueva (PRIMARY KEY (id)) SELECT * FROM t WHERE id < 0'],
    swap: ['RENAME TABLE nueva TO _vt_x', 'RENAME TABLE t TO vieja, _vt_x TO t'],
  },
];

const harmful: [column: string, alterations: string[], after?: string][] = [
  ['a', ['DROP COLUMN a', 'ADD COLUMN a VARCHAR(20) CHARACTER SET utf8mb4']],
  ['a', ['DROP COLUMN a, ADD COLUMN a VARCHAR(20) CHARACTER SET utf8mb4 AFTER id']],
  ['a', ['RENAME COLUMN a TO z', 'RENAME COLUMN b TO a', 'RENAME COLUMN z TO b']],
  ['d', ['MODIFY d DECIMAL(8,1)', 'MODIFY d DECIMAL(8,2)']],
  ['d', ['MODIFY d DECIMAL(8,1)'], 'ALTER TABLE %w.t MODIFY d DECIMAL(8,2)'],
];

const harmless: string[][] = [
  ['MODIFY a VARCHAR(60) CHARACTER SET utf8mb4, ADD COLUMN w INT'],
  ['DROP COLUMN other, ADD INDEX (b), MODIFY d DECIMAL(12,4)'],
  ['ADD COLUMN n INT FIRST', 'CONVERT TO CHARACTER SET utf8mb4', 'DROP COLUMN n'],
];

describe.each(servers)('copies of online schema changes in the log of %s', (variant) => {
  const flavour = variant === 'mysql' ? 'mysql' : 'mariadb';
  const server = sharedServer(variant);
  let schema: TestSchema;
  let elsewhere: TestSchema;
  beforeEach(async () => {
    schema = await createSchema(server, `CREATE TABLE t (${columns})`);
    elsewhere = await createSchema(server);
  });
  afterEach(async () => {
    await schema.drop();
    await elsewhere.drop();
  });

  const run = async (statements: readonly string[]): Promise<void> => {
    for (const statement of statements)
      await schema.query(statement.replaceAll('%w', schema.name).replaceAll('%e', elsewhere.name));
  };

  /** Reads up to the row with an id; gives what the checkpoint has of the tables then. */
  async function readTo(
    id: number,
    from: Position,
    baseline: Baseline,
  ): Promise<{ position: Position; baseline: Baseline }> {
    const stream = await openReader({
      flavour,
      schema,
      position: from,
      watch: { t: ['a', 'b', 'd'] },
      baseline,
    });
    try {
      const parts = await takeUntil(stream, ({ rows }) =>
        rows.some((row) => byName(row, 'after')['id'] === id),
      );
      const known = parts.findLast(({ commit }) => commit?.baseline)?.commit?.baseline ?? baseline;
      return {
        position: parts.at(-1)!.commit!.position,
        baseline: JSON.parse(JSON.stringify(known)) as Baseline,
      };
    } finally {
      stream.close();
    }
  }

  const insert = (id: number): string =>
    `INSERT INTO %w.t (id, a, b, d) VALUES (${id}, 'marca-a', 'b', 1.25)`;

  /** The halt of a reader that is opened anew between the alteration and the swap. */
  async function haltOf(
    { copy, create, swap }: Tool,
    alterations: readonly string[],
    after: readonly string[] = [],
  ): Promise<HaltError | null> {
    const start = await endOfLog(flavour, schema);
    await run([insert(1), ...create, ...alterations.map((each) => `ALTER TABLE ${copy} ${each}`), insert(2)]);
    await run([`INSERT IGNORE INTO ${copy} (id) SELECT id FROM %w.t`, ...swap, ...after, insert(3)]);
    const between = await readTo(2, start, {});
    return readTo(3, between.position, between.baseline).then(
      () => null,
      (error: unknown) => error as HaltError,
    );
  }

  describe.each(tools)('$name', (tool) => {
    it.each(harmful)(
      'stops the reader at the swap where %s may have other values: %j',
      async (column, alterations, after) => {
        const halt = await haltOf(tool, alterations, after === undefined ? [] : [after]);
        expect(halt).toBeInstanceOf(HaltError);
        expect(halt!.halt).toMatchObject({ reason: 'column-changed', table: `${schema.name}.t` });
        expect(halt!.message).toContain(`${schema.name}.t.${column} was dropped, renamed or converted in `);
        expect(halt!.message).not.toContain('marca');
        // As an acceptance leaves it.
        await readTo(3, halt!.halt.position!, {});
      },
    );

    it.each(harmless)('is followed where every value stays: %s', async (...alterations) => {
      expect(await haltOf(tool, alterations)).toBeNull();
    });

    it('is nothing but a table while it does not take the place of another', async () => {
      const { copy, create, swap } = tool;
      const abandoned = [...create, `ALTER TABLE ${copy} DROP COLUMN a`, `DROP TABLE ${copy}`];
      const again = create.map((each) =>
        each.replace('CREATE TABLE %w._t_ghc', 'CREATE TABLE IF NOT EXISTS %w._t_ghc'),
      );
      const retried = { ...tool, create: [...abandoned, ...again], swap };
      expect(await haltOf(retried, ['ADD COLUMN w INT'])).toBeNull();
    });
  });

  const made = (definition: string): Tool => ({
    name: 'made',
    copy: '%w._t_new',
    create: [definition],
    swap: ['RENAME TABLE %w.t TO %w._t_old, %w._t_new TO %w.t'],
  });

  it.each([
    ['d', columns.replace('(8,2)', '(8,1)'), 'MODIFY d DECIMAL(8,2)'],
    ['a', columns.replace('a VARCHAR(20)', 'a VARCHAR(5)'), 'MODIFY a VARCHAR(20) CHARACTER SET utf8mb4'],
    [
      'b',
      columns.replace('b VARCHAR(20) CHARACTER SET utf8mb4', 'b VARCHAR(20) CHARACTER SET latin1'),
      `CONVERT TO CHARACTER SET utf8mb4`,
    ],
    ['id', columns.replace('id INT', 'id SMALLINT'), 'MODIFY id INT NOT NULL'],
  ])('stop the reader where %s is declared so that it loses values: %s', async (column, declared, later) => {
    const halt = await haltOf(made(`CREATE TABLE %w._t_new (${declared}) ENGINE=InnoDB`), [later]);
    expect(halt!.message).toContain(`${schema.name}.t.${column} was dropped, renamed or converted in `);
  });

  it('are followed where columns are declared otherwise but keep each value', async () => {
    const declared = columns.replace('id INT', 'id BIGINT').replaceAll('(20)', '(60)');
    expect(await haltOf(made(`CREATE TABLE %w._t_new (${declared}) ENGINE=InnoDB`), [])).toBeNull();
  });

  it.each([
    ['that was made before the log was read', ['DO 0']],
    ['that may have been there before', ['CREATE TABLE IF NOT EXISTS %w._t_new LIKE %w.t']],
    [
      'that lacked a column when it was made',
      [
        `CREATE TABLE %w.x (${columns.replace('d DECIMAL(8,2), ', '')})`,
        'DROP TABLE %w._t_new',
        'RENAME TABLE %w.x TO %w._t_new',
        'ALTER TABLE %w._t_new ADD COLUMN d DECIMAL(8,2)',
      ],
    ],
  ])('stop the reader where one takes the place of the table %s', async (_how, create) => {
    await run([
      'CREATE TABLE %w._t_new LIKE %w.t',
      'ALTER TABLE %w._t_new DROP COLUMN d, ADD COLUMN d DECIMAL(8,2)',
    ]);
    const halt = await haltOf({ ...made(''), create }, []);
    expect(halt!.halt).toMatchObject({ reason: 'column-changed', table: `${schema.name}.t` });
    expect(halt!.message).toContain('of which the log shows no CREATE');
    await readTo(3, halt!.halt.position!, {});
  });

  it('are remembered up to a hundred, whatever other tables are made and altered', async () => {
    const start = await endOfLog(flavour, schema);
    const others = Array.from({ length: 120 }, (_, i) => [
      `CREATE TABLE %w.c${i} LIKE %w.t`,
      `CREATE TABLE %w.x${i} (id INT PRIMARY KEY, a VARCHAR(3))`,
      `ALTER TABLE %w.x${i} DROP COLUMN a`,
      `ALTER TABLE %w.c${i} DROP COLUMN a`,
    ]);
    await run([insert(1), ...others.flat(), insert(2)]);
    const { baseline } = await readTo(2, start, {});
    expect(baseline['t']!['a']!.lostIn).toHaveLength(100);
    expect(baseline['t']!['b']!.keptIn).toHaveLength(100);
    expect(baseline['t']!['a']!.keptIn).toBeUndefined();
    expect(JSON.stringify(baseline)).not.toContain('`x');
  });
});

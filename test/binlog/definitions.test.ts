import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BinlogStream } from '../../src/binlog/stream.ts';
import { byName, endOfLog, openReader, takeRows, takeUntil } from '../support/read-log.ts';
import { createSchema, type SharedServer, type TestSchema } from '../support/server.ts';
import { createRandom } from '../chaos/random.ts';
import { borrowServer, modes } from './modes.ts';

describe.each(modes)('definitions while the log of $name is read', (mode) => {
  const { flavour } = mode;
  let server: SharedServer;
  let giveBack: () => Promise<void>;
  let schema: TestSchema;
  beforeAll(async () => {
    ({ server, giveBack } = await borrowServer(mode));
  });
  afterAll(() => giveBack());
  beforeEach(async () => {
    schema = await createSchema(
      server,
      'CREATE TABLE t (id INT PRIMARY KEY, status VARCHAR(20), doc JSON, secret VARCHAR(40))',
    );
  });
  afterEach(() => schema.drop());

  const open = (extra: object = {}): Promise<BinlogStream> =>
    openReader({ flavour, schema, watch: { t: ['id', 'status', 'doc'] }, ...extra });

  it('reads each row with the columns in force when it was written', async () => {
    const position = await endOfLog(flavour, schema);
    await schema.query(`INSERT INTO t VALUES (1, 'one', '{"a":1}', 's');
      ALTER TABLE t ADD COLUMN extra INT FIRST;
      INSERT INTO t VALUES (99, 2, 'two', '{"a":2}', 's');
      ALTER TABLE t MODIFY COLUMN status VARCHAR(40) AFTER secret;
      INSERT INTO t (id, status, doc) VALUES (3, 'three', '{"a":3}');
      ALTER TABLE t DROP COLUMN extra, MODIFY COLUMN secret TEXT;
      INSERT INTO t (id, status, doc) VALUES (4, 'four', '{"a":4}');
      CREATE TABLE _t_gho LIKE t;
      ALTER TABLE _t_gho ADD COLUMN added INT NOT NULL DEFAULT 7 FIRST;
      INSERT INTO _t_gho (id, status, doc) SELECT id, status, doc FROM t;
      RENAME TABLE t TO _t_del, _t_gho TO t;
      INSERT INTO t (id, status, doc) VALUES (5, 'five', '{"a":5}')`);
    const stream = await open({ position });
    const rows = (await takeRows(stream, 5)).map((row) => byName(row, 'after'));
    stream.close();
    expect(rows.map(({ id, status }) => `${String(id)} ${String(status)}`)).toEqual([
      '1 one',
      '2 two',
      '3 three',
      '4 four',
      '5 five',
    ]);
    expect(rows.map(({ doc }) => JSON.parse(doc as string) as unknown)).toEqual(
      [1, 2, 3, 4, 5].map((a) => ({ a })),
    );
  });

  it('reads ENUM labels as they were when the row was written', async () => {
    await schema.query("CREATE TABLE e (id INT PRIMARY KEY, v ENUM('scheduled','a, b','confirmed'))");
    const position = await endOfLog(flavour, schema);
    await schema.query(
      `INSERT INTO e VALUES (1, 'confirmed'); ALTER TABLE e MODIFY v ENUM('scheduled','nuevo','a, b','confirmed'); INSERT INTO e VALUES (2, 'confirmed'), (3, 'nuevo')`,
    );
    const stream = await openReader({ flavour, schema, position, watch: { e: ['v'] } });
    const rows = (await takeRows(stream, 3)).map((row) => byName(row, 'after')['v']);
    stream.close();
    expect(rows).toEqual(['confirmed', 'confirmed', 'nuevo']);
  });

  it('reads rows between random definitions, afterwards, as a SELECT read them then', async () => {
    const random = createRandom(mode.name.length);
    const types = [
      'INT',
      'BIT(9)',
      'LONGBLOB',
      'DECIMAL(30,10)',
      'DATETIME(3)',
      "SET('a','b''c')",
      'CHAR(20)',
      'JSON',
    ];
    const position = await endOfLog(flavour, schema);
    await schema.query(
      "CREATE TABLE r (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40), state ENUM('uno','dos, tres'), amount DECIMAL(9,2))",
    );
    const labels = ['uno', 'dos, tres'];
    const fillers: string[] = [];
    /** They grow: a narrower type stops the reader. */
    const widths = { name: 40, digits: 9, scale: 2 };
    const places = (): string =>
      random.pick([
        'FIRST',
        ...['id', 'name', 'state', 'amount', ...fillers].map((column) => `AFTER ${column}`),
      ]);
    const definitions: Record<string, () => string> = {
      add: () =>
        `ADD COLUMN ${fillers[fillers.push(`x${fillers.length}_${random.below(1e6)}`) - 1]!} ${random.pick(types)} ${places()}`.replace(
          /(AFTER )(\w+)$/,
          (_, after: string, column: string) => (column === fillers.at(-1) ? 'FIRST' : after + column),
        ),
      drop: () => `DROP COLUMN ${fillers.splice(random.below(fillers.length), 1)[0]!}`,
      rename: () => {
        const at = random.below(fillers.length);
        const [old, now] = [fillers[at]!, `y${random.below(1e6)}`];
        fillers[at] = now;
        return `RENAME COLUMN ${old} TO ${now}`;
      },
      move: () =>
        `MODIFY COLUMN name VARCHAR(${(widths.name += 1)}) CHARACTER SET ${random.pick(['latin1', 'utf8mb4'])} ${random.pick(['FIRST', 'AFTER id', 'AFTER amount'])}`,
      label: () => {
        labels.splice(random.below(labels.length + 1), 0, `l${labels.length}'s`);
        return `MODIFY COLUMN state ENUM(${labels.map((label) => `'${label.replace("'", "''")}'`).join(',')})`;
      },
      scale: () =>
        `MODIFY COLUMN amount DECIMAL(${(widths.digits += 1)},${(widths.scale += random.below(2))})`,
    };
    const expected: unknown[] = [];
    for (let id = 1; id <= 60; id += 1) {
      const kinds = Object.keys(definitions).filter(
        (kind) => fillers.length > 2 || !/drop|rename/.test(kind),
      );
      if (id > 1) await schema.query(`ALTER TABLE r ${definitions[random.pick(kinds)]!()}`);
      await schema.query('INSERT INTO r (id, name, state, amount) VALUES (?, ?, ?, ?)', [
        id,
        `Peña ${id}`,
        random.pick(labels),
        random.below(1e6) / 100,
      ]);
      const [row] = await schema.query(
        'SELECT id, name, CAST(state AS CHAR) AS state, CAST(amount AS CHAR) AS amount FROM r WHERE id = ?',
        [id],
      );
      expected.push(row);
    }
    const stream = await openReader({
      flavour,
      schema,
      position,
      watch: { r: ['id', 'name', 'state', 'amount'] },
    });
    const rows = (await takeRows(stream, expected.length)).map((row) => byName(row, 'after'));
    stream.close();
    expect(rows).toEqual(expected);
  });

  it('follows a watched name to the table that bears it: each change of an online schema change comes once', async () => {
    const position = await endOfLog(flavour, schema);
    const change = (table: string, id: number): string =>
      `INSERT INTO ${table} (id, status) VALUES (${id}, 'n${id}')`;
    await schema.query(`${change('t', 1)}; CREATE TABLE _t_gho LIKE t; ALTER TABLE _t_gho ADD COLUMN tel INT FIRST;
      ${change('t', 2)};
      INSERT INTO _t_gho (id, status) SELECT id, status FROM t; ${change('t', 3)}; ${change('_t_gho', 3)};
      RENAME TABLE t TO _t_del, _t_gho TO t;
      ${change('t', 4)}; ${change('_t_del', 99)}; DROP TABLE _t_del; DELETE FROM t WHERE id = 1; ${change('t', 5)}`);
    const stream = await open({ position });
    const parts = await takeUntil(stream, ({ rows }) => rows.some(({ after }) => after?.[0] === 5));
    stream.close();
    expect(
      parts.flatMap(({ rows }) =>
        rows.map(({ op, before, after }) => `${op} ${(after ?? before)![0] as number}`),
      ),
    ).toEqual(['insert 1', 'insert 2', 'insert 3', 'insert 4', 'delete 1', 'insert 5']);
    expect(parts.flatMap(({ ddl }) => ddl)).toContain('t');
  });

  it('tells which watched tables a definition names', async () => {
    const stream = await open();
    await schema.query('CREATE TABLE unrelated (id INT PRIMARY KEY); ALTER TABLE t ADD COLUMN x INT');
    const parts = await takeUntil(stream, (part) => part.ddl.includes('t'));
    stream.close();
    expect(parts.flatMap((part) => part.ddl)).toEqual(['t']);
  });

  it('reads the rows of CREATE TABLE … SELECT as one transaction', async () => {
    await schema.query('INSERT INTO t (id) VALUES (1), (2)');
    const stream = await openReader({ flavour, schema, watch: { copy: ['id'] } });
    await schema.query('CREATE TABLE copy (PRIMARY KEY (id)) SELECT id FROM t');
    const parts = await takeUntil(stream, (part) => part.rows.length > 0);
    stream.close();
    expect(parts.at(-1)!.rows).toHaveLength(2);
  });

  if (mode.gtid && flavour === 'mysql') {
    it('follows tagged GTIDs', async () => {
      const stream = await open();
      await schema.query(
        "SET GTID_NEXT = 'AUTOMATIC:clinica'; INSERT INTO t (id) VALUES (1); SET GTID_NEXT = 'AUTOMATIC'",
      );
      const parts = await takeUntil(stream, (part) => part.rows.length > 0);
      stream.close();
      expect(parts.at(-1)!.id).toMatch(/^[0-9a-f-]{36}:clinica:1$/);
      expect(parts.at(-1)!.commit!.position.gtid).toMatch(/:clinica:1/);
      const [row] = await schema.query('SELECT GTID_SUBSET(?, @@gtid_executed) AS inside', [
        parts.at(-1)!.commit!.position.gtid,
      ]);
      expect(row!['inside']).toBe(1);
    });
  }

  if (flavour === 'mariadb') {
    it('sees the current rows of a system-versioned table alone', async () => {
      await schema.query('CREATE TABLE v (id INT PRIMARY KEY, name VARCHAR(20)) WITH SYSTEM VERSIONING');
      const hints = { v: { types: new Map(), fractions: new Map(), plainColumns: null } };
      const stream = await openReader({ flavour: 'mariadb', schema, watch: { v: ['id', 'name'] }, hints });
      await schema.query(
        "INSERT INTO v VALUES (1, 'a'); UPDATE v SET name = 'b'; DELETE FROM v; INSERT INTO v VALUES (2, 'c')",
      );
      const rows = await takeRows(stream, 4);
      stream.close();
      expect(rows.map((row) => row.op)).toEqual(['insert', 'update', 'delete', 'insert']);
    });
  }
});

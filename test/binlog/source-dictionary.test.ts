import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  parseLabels,
  readDictionary,
  type Dictionary,
  type DictionaryTable,
} from '../../src/binlog/source/dictionary.ts';
import { readKeyGraph } from '../../src/binlog/foreign-key/read-keys.ts';
import { openSource, type Source } from '../../src/binlog/source/source.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { createSchema, createUser, servers, sharedServer, type TestSchema } from '../support/server.ts';

describe('labels of an ENUM or SET', () => {
  it.each([
    ["enum('a','b')", ['a', 'b']],
    ["enum('a, b','it''s','say \"x\"')", ['a, b', "it's", 'say "x"']],
    ["enum('back\\\\slash','line\\nend','')", ['back\\slash', 'line\nend', '']],
    ["set('one')", ['one']],
    ["enum('(',')',''',''')", ['(', ')', "','"]],
  ])('of %s', (type, expected) => {
    expect(parseLabels(type)).toEqual(expected);
  });
});

describe.each(servers)('the dictionary of %s', (variant) => {
  const server = sharedServer(variant);
  let schema: TestSchema;
  let source: Source;
  let dictionary: Dictionary;

  const table = (name: string): DictionaryTable => dictionary.tables.get(name)!;
  const kinds = (name: string): Record<string, string> =>
    Object.fromEntries(table(name).columns.map((column) => [column.name, column.kind]));

  beforeAll(async () => {
    schema = await createSchema(
      server,
      `CREATE TABLE parent (id INT PRIMARY KEY);
      CREATE TABLE everything (
        b INT, a INT, ti TINYINT(1), bi BIGINT UNSIGNED, de DECIMAL(10,2), fl FLOAT, bt BIT(3), ye YEAR, da DATE, tm TIME,
        dt DATETIME, ts TIMESTAMP NULL, ch CHAR(3), vc VARCHAR(9) CHARACTER SET latin1, tx MEDIUMTEXT, bn BINARY(3), vb VARBINARY(3),
        bl BLOB, en ENUM('x','a,b') NOT NULL, se SET('x'), js JSON, ge GEOMETRY, po POINT,
        gv INT AS (a + 1) VIRTUAL, gs INT AS (a + 1) STORED, iv INT INVISIBLE DEFAULT 1, made TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
        plain LONGTEXT, PRIMARY KEY (b, a),
        FOREIGN KEY (b) REFERENCES parent (id) ON DELETE CASCADE
      );
      CREATE TABLE Upper_Case (id INT);
      CREATE TABLE both_cases (id INT PRIMARY KEY);
      CREATE TABLE Both_Cases (other INT PRIMARY KEY);
      CREATE VIEW seen AS SELECT id FROM parent;
      CREATE TABLE memory_table (id INT PRIMARY KEY) ENGINE=MEMORY`,
    );
    source = openSource(parseDatabaseUrl(schema.url()));
    dictionary = await readDictionary(source, await source.identify(), ['both_cases']);
  });

  afterAll(async () => {
    await source.close();
    await schema.drop();
  });

  it('names the kind of every column', () => {
    expect(kinds('everything')).toEqual({
      b: 'integer',
      a: 'integer',
      ti: 'integer',
      bi: 'integer',
      de: 'decimal',
      fl: 'float',
      bt: 'bit',
      ye: 'year',
      da: 'date',
      tm: 'time',
      dt: 'datetime',
      ts: 'timestamp',
      ch: 'text',
      vc: 'text',
      tx: 'text',
      bn: 'binary',
      vb: 'binary',
      bl: 'binary',
      en: 'enum',
      se: 'set',
      js: 'json',
      ge: 'geometry',
      po: 'geometry',
      gv: 'integer',
      gs: 'integer',
      iv: 'integer',
      made: 'timestamp',
      plain: 'text',
    });
  });

  it('describes columns', () => {
    const { columnOf, key } = table('everything');
    expect(columnOf.get('bi')).toMatchObject({ unsigned: true, nullable: true, charset: null, labels: null });
    expect(columnOf.get('en')).toMatchObject({ labels: ['x', 'a,b'], nullable: false });
    expect(columnOf.get('vc')).toMatchObject({ charset: 'latin1', type: 'varchar(9)' });
    expect(columnOf.get('gv')).toMatchObject({ generated: true });
    expect(columnOf.get('gs')).toMatchObject({ generated: true });
    expect(columnOf.get('made')).toMatchObject({ generated: false });
    expect(columnOf.get('iv')).toMatchObject({ invisible: true });
    expect(columnOf.get('a')).toMatchObject({ invisible: false });
    expect(key).toEqual(['b', 'a']);
  });

  it('finds tables by lower-case name, and says what is no InnoDB table', () => {
    expect(table('upper_case').name).toBe('Upper_Case');
    expect(table('both_cases')).toMatchObject({
      name: 'both_cases',
      namesakes: ['Both_Cases', 'both_cases'],
    });
    expect(table('seen')).toMatchObject({ isView: true, engine: null });
    expect(table('memory_table')).toMatchObject({ isView: false, engine: 'MEMORY' });
    expect(dictionary.schema).toBe(schema.name);
  });

  it('knows the character set of every collation', async () => {
    const [row] = await schema.query(
      "SELECT id AS id FROM information_schema.collations WHERE collation_name = 'latin1_swedish_ci'",
    );
    expect(dictionary.charsets.get(Number(row!['id']))).toBe('latin1');
    expect(dictionary.charsets.get(63)).toBe('binary');
  });

  it('shows the same to a user who may only SELECT, foreign keys included', async () => {
    const user = await createUser(server, [`SELECT ON \`${schema.name}\`.everything`]);
    const theirs = openSource(parseDatabaseUrl(schema.url(user)));
    const seen = await readDictionary(theirs, await theirs.identify());
    expect([...seen.tables.keys()]).toEqual(['everything']);
    expect(seen.tables.get('everything')).toEqual(table('everything'));
    const child = { schema: schema.name, table: 'everything' };
    const parent = { schema: schema.name, table: 'parent' };
    const { graph, unread } = await readKeyGraph(theirs, [child], false);
    expect(Object.values(graph)).toMatchObject([
      {
        ...child,
        rowEnd: null,
        keys: [{ child, columns: ['b'], parent, referenced: ['id'], onDelete: 'cascade' }],
      },
    ]);
    expect(unread).toEqual([parent]);
    await theirs.close();
    await user.drop();
  });
});

describe('the dictionary of MariaDB', () => {
  it('knows its own types and the periods of system-versioned tables', async () => {
    const schema = await createSchema(
      sharedServer('mariadb'),
      `CREATE TABLE own (id INT PRIMARY KEY, u UUID, i4 INET4, i6 INET6) WITH SYSTEM VERSIONING;
      CREATE TABLE named (id INT PRIMARY KEY, \`from\` TIMESTAMP(6) GENERATED ALWAYS AS ROW START,
        \`to\` TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME(\`from\`, \`to\`)) WITH SYSTEM VERSIONING`,
    );
    const source = openSource(parseDatabaseUrl(schema.url()));
    const { tables } = await readDictionary(source, await source.identify());
    expect(tables.get('own')!.columns.map(({ name, kind }) => [name, kind])).toEqual([
      ['id', 'integer'],
      ['u', 'uuid'],
      ['i4', 'inet'],
      ['i6', 'inet'],
    ]);
    expect(tables.get('own')).toMatchObject({ rowEnd: 'row_end', key: ['id'] });
    expect(tables.get('named')).toMatchObject({ rowEnd: 'to', key: ['id'] });
    await source.close();
    await schema.drop();
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readDictionary } from '../../src/binlog/source/dictionary.ts';
import { openSource, type Source } from '../../src/binlog/source/source.ts';
import type { TableHints } from '../../src/binlog/decode/table-map.ts';
import { HaltError } from '../../src/binlog/halt.ts';
import type { Cell, TransactionPart } from '../../src/binlog/types.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { byName, openReader, takeRows, takeUntil } from '../support/read-log.ts';
import { createSchema, servers, sharedServer, type TestSchema } from '../support/server.ts';
import { typeCases, type TypeCase } from './column-types.ts';

const selects: Record<TypeCase['compare'], string> = {
  text: 'CAST(v AS CHAR)',
  number: 'CAST(v + 0 AS CHAR)',
  float32: 'CAST(v * CAST(1 AS DOUBLE) AS CHAR)',
  float64: 'CAST(v AS CHAR)',
  hex: 'HEX(v)',
  'utf8-hex': "HEX(CONVERT(CONCAT(v, '') USING utf8mb4))",
  json: 'CAST(v AS CHAR)',
};

/** What the cell says, in the form of the SELECT. */
function shown(cell: Cell, compare: TypeCase['compare']): string | number {
  switch (compare) {
    case 'hex':
      return Buffer.from(cell as Uint8Array)
        .toString('hex')
        .toUpperCase();
    case 'utf8-hex':
      return Buffer.from(cell as string, 'utf8')
        .toString('hex')
        .toUpperCase();
    case 'float32':
      return Math.fround(cell as number);
    case 'float64':
      return cell as number;
    default:
      return String(cell);
  }
}

function selected(value: unknown, compare: TypeCase['compare']): unknown {
  if (compare === 'float32') return Math.fround(Number(value));
  return compare === 'float64' ? Number(value) : value;
}

const hintsFor: Record<string, 'uuid' | 'inet4' | 'inet6' | undefined> = {
  uuid: 'uuid',
  inet4: 'inet4',
  inet6: 'inet6',
};

describe.each(servers)('every column type, read from the log of %s', (variant) => {
  const { flavour } = sharedServer(variant);
  let schema: TestSchema;
  let source: Source;
  beforeAll(async () => {
    schema = await createSchema(sharedServer(variant));
    await schema.query("SET SESSION sql_mode = '', time_zone = '+00:00'");
    source = openSource(parseDatabaseUrl(schema.url()));
  });
  afterAll(async () => {
    await source.close();
    await schema.drop();
  });

  const isHere = ({ only }: TypeCase): boolean => only === undefined || only === variant || only === flavour;

  it.each(typeCases.filter(isHere))('$name', async (type) => {
    const table = `c${typeCases.indexOf(type)}`;
    await schema.query(
      `CREATE TABLE ${table} (id INT PRIMARY KEY AUTO_INCREMENT, filler INT, v ${type.definition}, rest VARCHAR(10)) CHARACTER SET utf8mb4`,
    );
    const hint = hintsFor[type.name] ?? (type.definition === 'JSON' ? 'json' : undefined);
    const hints: TableHints = {
      types: new Map(hint ? [['v', hint]] : []),
      fractions: new Map(),
      plainColumns: new Set(),
    };
    const stream = await openReader({
      flavour,
      schema,
      watch: { [table]: ['v', 'rest'] },
      hints: { [table]: hints },
    });
    const inserts = type.values.length === 0 ? [''] : [...type.values, 'NULL'];
    for (const value of inserts) {
      await schema.query(
        value === ''
          ? `INSERT INTO ${table} (rest) VALUES ('fin')`
          : `INSERT INTO ${table} (v, rest) VALUES (${value}, 'fin')`,
      );
    }
    const events = await takeRows(stream, inserts.length);
    const rows = events.map((event) => byName(event, 'after'));
    stream.close();
    const { kind } = events[0]!.table.columns.find(({ name }) => name === 'v')!;
    expect(
      (await readDictionary(source, await source.identify())).tables.get(table)!.columnOf.get('v')!.kind,
    ).toBe(kind);
    const truth = await schema.query(
      `SELECT id, v IS NULL AS isNull, ${selects[type.compare]} AS shown FROM ${table} ORDER BY id`,
    );
    expect(truth).toHaveLength(inserts.length);
    for (const [i, row] of rows.entries()) {
      // A column behind the value proves that exactly its bytes were read.
      expect(row['rest']).toBe('fin');
      if (truth[i]!['isNull'] === 1) expect(row['v']).toBeNull();
      else if (type.compare === 'json')
        await expectSameJson(schema, row['v'] as string, `SELECT v FROM ${table} WHERE id = ${i + 1}`);
      else
        expect(shown(row['v'], type.compare), type.values[i]).toEqual(
          selected(truth[i]!['shown'], type.compare),
        );
    }
  });
});

/** MariaDB logs the very text. MySQL prints its binary form with spaces between the tokens. */
async function expectSameJson(schema: TestSchema, text: string, select: string): Promise<void> {
  const [row] = await schema.query(`SELECT CAST((${select}) AS CHAR) AS v`);
  const compact = (json: string): string => json.replaceAll(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
  expect(compact(text)).toBe(compact(row!['v'] as string));
}

describe.each(servers)('the log of %s while it does not name columns', (variant) => {
  const { flavour } = sharedServer(variant);
  let server: PrivateServer;
  let schema: TestSchema;
  beforeAll(async () => {
    server = await startPrivateServer({ flavour: variant });
    schema = await createSchema(
      server,
      'CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20)); CREATE TABLE other (id INT)',
    );
  });
  afterAll(() => server.stop());

  it.each(flavour === 'mysql' ? ['MINIMAL'] : ['MINIMAL', 'NO_LOG'])(
    'is refused, and read from where it names them: binlog_row_metadata=%s',
    async (setting) => {
      const stream = await openReader({ flavour, schema, watch: { t: ['name'] } });
      await schema.query(`SET GLOBAL binlog_row_metadata = ${setting}`);
      await schema.query("ALTER TABLE t COMMENT = 'a table map of its own'; INSERT INTO other VALUES (1)");
      await schema.query("REPLACE INTO t VALUES (1, 'Ana')");
      const parts: TransactionPart[] = [];
      const error: unknown = await takeUntil(stream, (part) => parts.push(part) < 0).catch(
        (caught: unknown) => caught,
      );
      if (!(error instanceof HaltError)) throw error;
      expect(error.halt).toMatchObject({ reason: 'metadata-missing', table: `${schema.name}.t` });
      expect(error.halt.position).toEqual(parts.at(-1)!.commit!.position);
      const [statement = ''] = error.remedy.split('\n');
      await schema.query(statement.replace(/ -- .*/, ''));
      const waived = await openReader({
        flavour,
        schema,
        watch: { t: ['name'] },
        position: error.halt.position!,
        waived: [error.halt.transactionId!],
      });
      await schema.query("REPLACE INTO t VALUES (1, 'Bea')");
      const [row] = await takeRows(waived, 1);
      waived.close();
      expect(byName(row!, 'after')).toMatchObject({ name: 'Bea' });
    },
  );
});

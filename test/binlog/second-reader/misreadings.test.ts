import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomServerId } from '../../../src/binlog/source/log-file.ts';
import { isSameValue } from '../../../src/binlog/second-reader/compare/compare-cell.ts';
import {
  explainDisagreement,
  misreadings,
  type MisreadingId,
} from '../../../src/binlog/second-reader/misreadings.ts';
import { readWithZongji } from '../../../src/binlog/second-reader/read-with-zongji.ts';
import { approximateCharsets, undecodedCharsets } from '../../../src/binlog/second-reader/zongji-charsets.ts';
import type { ZongjiTransaction } from '../../../src/binlog/second-reader/zongji-log.ts';
import type { ColumnKind } from '../../../src/binlog/types.ts';
import { startPrivateServer, type PrivateServer } from '../../../src/demo/private-server.ts';
import type { ServerVariant } from '../../../src/demo/server-binaries.ts';
import { parseDatabaseUrl } from '../../../src/db/connection/database-url.ts';
import { endOfLog } from '../../support/read-log.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../../support/server.ts';

interface Case {
  id: MisreadingId;
  name: string;
  definition: string;
  /** SQL of what is inserted. */
  value: string;
  kind: ColumnKind;
  /** As the server has it: the text that CAST or CONVERT gives, unless it is said here. */
  truth?: string | number;
  charset?: string | null;
  /** Columns before it. */
  before?: string;
  only?: ServerVariant;
}

/** Bytes of which zongji makes another text than the server. */
const wrongBytes: Readonly<Record<string, string>> = {
  armscii8: 'A2',
  big5: 'A145',
  cp866: 'FC',
  cp932: 'F941',
  eucjpms: 'F9A1',
  gb18030: 'A3A0',
  gb2312: 'A1A4',
  greek: 'A1',
  hebrew: 'AF',
  koi8u: '95',
  latin1: '81',
  macroman: 'DB',
  sjis: '8160',
  tis620: '80',
  ujis: 'A1C1',
};

const cases: Case[] = [
  { id: 'year-zero', name: 'YEAR', definition: 'YEAR', value: "'0000'", kind: 'year', truth: 0 },
  { id: 'enum-index-zero', name: 'ENUM', definition: "ENUM('a')", value: "'b'", kind: 'enum' },
  ...["'-01:00:00'", "'-00:01:00'", "'-12:34:00'"].map((value): Case => ({
    id: 'negative-time',
    name: value,
    definition: 'TIME',
    value,
    kind: 'time',
  })),
  {
    id: 'negative-time',
    name: 'with a fraction of 0',
    definition: 'TIME(3)',
    value: "'-01:00:00'",
    kind: 'time',
  },
  ...['2038-01-19 03:14:08', '2106-02-07 06:28:15'].map((moment): Case => ({
    id: 'timestamp-after-2038',
    name: moment,
    definition: 'TIMESTAMP NULL',
    value: `'${moment}'`,
    kind: 'timestamp',
    only: 'mariadb-11.8',
  })),
  {
    id: 'uuid-bytes',
    name: 'UUID',
    definition: 'UUID',
    value: "'123e4567-e89b-12d3-a456-426655440000'",
    kind: 'uuid',
    only: 'mariadb',
  },
  {
    id: 'json-decimal',
    name: 'DECIMAL in JSON',
    definition: 'JSON',
    value: "JSON_OBJECT('a', 12.50)",
    kind: 'json',
    only: 'mysql',
  },
  {
    id: 'json-proto',
    name: '__proto__ in JSON',
    definition: 'JSON',
    value: `'{"__proto__": {"a": 1}, "b": 2}'`,
    kind: 'json',
    only: 'mysql',
  },
  ...undecodedCharsets.map((charset): Case => ({
    id: 'character-set-undecoded',
    name: charset,
    definition: `VARCHAR(10) CHARACTER SET ${charset}`,
    value: "'abc'",
    kind: 'text',
    charset,
  })),
  ...Object.entries(wrongBytes).map(([charset, hex]): Case => ({
    id: charset === 'cp932' ? 'character-without-unicode' : 'character-set-approximate',
    name: charset,
    definition: `VARCHAR(10) CHARACTER SET ${charset}`,
    value: `_${charset} X'${hex}'`,
    kind: 'text',
    charset,
    ...(charset === 'gb18030' ? { only: 'mysql' } : {}),
  })),
  ...Object.entries({
    cp1251: '98',
    cp1256: '8A',
    greek: 'A4',
    gbk: 'A140',
    sjis: '8240',
    euckr: 'A2E8B0A1',
  }).map(([charset, hex]): Case => ({
    id: 'character-without-unicode',
    name: charset,
    definition: `VARCHAR(10) CHARACTER SET ${charset}`,
    value: `CONVERT(X'${hex}' USING ${charset})`,
    kind: 'text',
    charset,
  })),
  {
    id: 'character-set-misread',
    name: 'a collation uca1400 of utf16',
    definition: 'VARCHAR(10) CHARACTER SET utf16 COLLATE utf16_uca1400_ai_ci',
    value: "'ñandú'",
    kind: 'text',
    charset: 'utf16',
    only: 'mariadb',
  },
  {
    id: 'character-set-misread',
    name: 'text behind a geometry',
    before: 'p POINT, b VARBINARY(10),',
    definition: 'VARCHAR(10)',
    value: "'ñandú'",
    kind: 'text',
    charset: 'utf8mb4',
    only: 'mariadb',
  },
];

const variants: readonly ServerVariant[] = [...flavours, 'mariadb-11.8'];

describe.each(variants)('what zongji reads wrongly on %s', (variant) => {
  const flavour = variant === 'mysql' ? 'mysql' : 'mariadb';
  let server: PrivateServer | undefined;
  let schema: TestSchema;
  let elsewhere: TestSchema;
  beforeAll(async () => {
    if (variant !== flavour) server = await startPrivateServer({ flavour: variant });
    schema = await createSchema(server ?? sharedServer(flavour));
    elsewhere = await createSchema(
      server ?? sharedServer(flavour),
      'CREATE TABLE other (id INT PRIMARY KEY AUTO_INCREMENT)',
    );
    await schema.query("SET SESSION sql_mode = '', time_zone = '+00:00'");
  });
  afterAll(async () => {
    await elsewhere.drop();
    await schema.drop();
    await server?.stop();
  });

  it.each(cases.filter(({ only }) => only === undefined || only === variant || only === flavour))(
    '$id: $name',
    async ({ id, definition, value, kind, truth, charset = null, before = '' }) => {
      await schema.query(
        `DROP TABLE IF EXISTS t; CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, ${before} v ${definition}) CHARACTER SET utf8mb4`,
      );
      const from = await endOfLog(flavour, schema);
      // Other tests write to the shared server at the same time: the range may begin with transactions that hold no row of ours.
      await elsewhere.query('INSERT INTO other VALUES ()');
      await schema.query(`INSERT INTO t (v) VALUES (${value})`);
      const until = await endOfLog(flavour, schema);
      const transactions: ZongjiTransaction[] = [];
      const reading = readWithZongji({
        url: parseDatabaseUrl(schema.url()),
        serverId: randomServerId(),
        from,
        until,
        tables: { [schema.name]: ['t'] },
        onTransaction: (transaction) => transactions.push(transaction),
      });
      expect(await reading.end).toBe('reached');
      const rows = transactions.flatMap((transaction) => transaction.rows);
      expect(rows).toHaveLength(1);
      const { table, after } = rows[0]!;
      const column = table.columns.find(({ name }) => name === 'v')!;
      const [row] = await schema.query("SELECT CONVERT(CONCAT(v, '') USING utf8mb4) AS truth FROM t");
      const ours = truth ?? String(row!['truth']);
      const theirs = after!.values['v'];
      expect(isSameValue(kind, ours, theirs), 'zongji reads it right').toBe(false);
      expect(explainDisagreement({ kind, column, charset, ours, theirs })).toBe(id);
    },
  );
});

it('has a case for each that is listed', () => {
  expect(new Set(cases.map(({ id }) => id))).toEqual(new Set(Object.keys(misreadings)));
  expect(Object.keys(wrongBytes)).toEqual(Object.keys(approximateCharsets));
});

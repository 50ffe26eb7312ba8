import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  compareWithZongji,
  type ComparisonJob,
} from '../../../src/binlog/second-reader/compare-with-zongji.ts';
import { undecodedCharsets } from '../../../src/binlog/second-reader/zongji-charsets.ts';
import type { Cell, RowEvent } from '../../../src/binlog/types.ts';
import { startPrivateServer, type PrivateServer } from '../../../src/demo/private-server.ts';
import type { ServerVariant } from '../../../src/demo/server-binaries.ts';
import { endOfLog } from '../../support/read-log.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../../support/server.ts';
import { typeCases, type TypeCase } from '../column-types.ts';
import { recordLog, withFault } from './compare-log.ts';
import { commonFaults, faults } from './faults.ts';

const variants: readonly ServerVariant[] = [...flavours, 'mariadb-11.8'];

/** zongji reads nothing of these, so that no fault of ours could be noticed. */
const unread = (name: string): boolean =>
  name === 'vector' || undecodedCharsets.some((charset) => name === `varchar ${charset}`);

describe.each(variants)('the second reader, on every column type of %s', (variant) => {
  const flavour = variant === 'mysql' ? 'mysql' : 'mariadb';
  const types = typeCases.filter(({ only }) => only === undefined || only === variant || only === flavour);
  const tableOf = (type: TypeCase): string => `c${typeCases.indexOf(type)}`;
  let server: PrivateServer | undefined;
  let schema: TestSchema;
  let job: ComparisonJob;

  beforeAll(async () => {
    if (variant !== flavour) server = await startPrivateServer({ flavour: variant });
    schema = await createSchema(server ?? sharedServer(flavour));
    await schema.query("SET SESSION sql_mode = '', time_zone = '+00:00'");
    const position = await endOfLog(flavour, schema);
    let rows = 0;
    for (const type of types) {
      const table = tableOf(type);
      const inserts = type.values.length === 0 ? ['DEFAULT'] : [...type.values, 'NULL'];
      await schema.query(
        `CREATE TABLE ${table} (id INT PRIMARY KEY AUTO_INCREMENT, v ${type.definition}, rest VARCHAR(10)) CHARACTER SET utf8mb4; ` +
          inserts.map((value) => `INSERT INTO ${table} (v, rest) VALUES (${value}, 'fin')`).join('; '),
      );
      rows += inserts.length;
    }
    job = await recordLog({ flavour, schema, position, rows });
  }, 240_000);
  afterAll(async () => {
    await schema.drop();
    await server?.stop();
  });

  it('finds no difference, and compares the cells of every type', async () => {
    const { differences, tables, leftOut, end } = await compareWithZongji(job);
    expect(differences).toEqual([]);
    expect(end).toBe('reached');
    const reasons = new Set(leftOut.map(({ reason }) => reason));
    expect([...reasons].filter((reason) => reason.startsWith('zongji') || reason === 'unread')).toEqual([]);
    for (const type of types.filter(({ name }) => !unread(name)))
      expect(tables[`${schema.name}.${tableOf(type)}`]?.cells, type.name).toBeGreaterThan(0);
  });

  const kindOf = (table: string): keyof typeof faults =>
    job.transactions.flatMap(({ rows }) => rows).find((row) => row.table.name === table)!.table.columns[1]!
      .kind;

  async function differingTables(change: (cell: Cell, row: RowEvent) => Cell): Promise<Set<string>> {
    const { differences } = await compareWithZongji(withFault(job, 'v', change));
    expect(differences.filter(({ column }) => column !== 'v')).toEqual([]);
    return new Set(differences.map(({ table }) => table.slice(schema.name.length + 1)));
  }

  const isChanged = (type: TypeCase, change: ((cell: never) => Cell) | undefined): boolean =>
    change !== undefined &&
    job.transactions
      .flatMap(({ rows }) => rows.filter(({ table }) => table.name === tableOf(type)))
      .some(({ after }) => after![1] !== null && change(after![1] as never) !== after![1]);

  // Only MariaDB has the types of addresses and UUIDs.
  const own = variant === 'mysql' ? ['inet', 'uuid'] : [];
  const kinds = Object.entries(faults).filter(([kind]) => !own.includes(kind));
  const faultNames = [...new Set(kinds.flatMap(([, each]) => Object.keys(each)))];
  it.each(faultNames)('finds this fault in every type that can have it: %s', async (fault) => {
    const found = await differingTables((cell, { table }) => {
      const change = faults[kindOf(table.name)][fault];
      return change ? change(cell as never) : cell;
    });
    const expected = types.filter(
      (type) => !unread(type.name) && isChanged(type, faults[kindOf(tableOf(type))][fault]),
    );
    expect(expected).not.toEqual([]);
    expect(expected.filter((type) => !found.has(tableOf(type))).map(({ name }) => name)).toEqual([]);
  });

  it.each(Object.entries(commonFaults))('finds this fault in every type: %s', async (_name, change) => {
    const found = await differingTables(change);
    const expected = types.filter(({ name }) => !unread(name));
    expect(expected.filter((type) => !found.has(tableOf(type))).map(({ name }) => name)).toEqual([]);
  });
});

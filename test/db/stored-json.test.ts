import { readFile, glob } from 'node:fs/promises';
import type { MySqlColumn } from 'drizzle-orm/mysql-core';
import { describe, expect, it } from 'vitest';
import { getTableColumns, getTableName, is, MySqlTable } from '../../src/db/schema/drizzle.ts';
import * as schema from '../../src/db/schema/schema.ts';
import { parseStored, storedText, type JsonColumn, type Stored } from '../../src/db/proof/stored-json.ts';

/** The JSON columns of the store that this program alone writes; people write those of `webhooks`. */
function jsonColumns(): string[] {
  return Object.values(schema)
    .flatMap((table) => (is(table, MySqlTable) && table !== schema.webhooks ? [table] : []))
    .flatMap((table) =>
      Object.values<MySqlColumn>(getTableColumns(table))
        .filter((column) => column.getSQLType() === 'json')
        .map((column) => `${getTableName(table)}.${column.name}`),
    )
    .toSorted();
}

/** The columns that `call` is used with anywhere in the program. */
async function usesOf(call: string): Promise<string[]> {
  const found = new Set<string>();
  for await (const file of glob('src/**/*.ts'))
    for (const [, column] of (await readFile(file, 'utf8')).matchAll(
      new RegExp(`${call}\\('([a-z_.]+)'`, 'g'),
    ))
      found.add(column!);
  return [...found].toSorted();
}

describe('a JSON document of the store', () => {
  it('is written to every JSON column as the type that its readers require', async () => {
    expect(jsonColumns().length).toBeGreaterThan(8);
    expect(await usesOf('storedText')).toEqual(jsonColumns());
  });

  it('is read again where a field is null that may be', () => {
    const whole = { table: 'c.items', column: null, type: 'row', count: 1 };
    const halt = { reason: 'r', message: 'm', remedy: '', position: null, span: { fromMs: null } };
    const samples: { [C in JsonColumn]?: Stored<C> } = {
      'installation.decoder_check': { versions: '1', tables: [], differences: [whole], accepted: [whole] },
      'checkpoint.halt': halt,
    };
    const read = <C extends JsonColumn>(name: C, document: Stored<C>): unknown =>
      parseStored(name, storedText(name, document), 1);
    for (const [name, document] of Object.entries(samples) as [JsonColumn, Stored<JsonColumn>][])
      expect(read(name, document)).toEqual(document);
  });

  it('is not taken by the compiler where a reader would refuse it', () => {
    const accepted = [{ table: 't', column: 1, type: 'int' }];
    const record = { versions: '1', tables: [], differences: [], accepted };
    // @ts-expect-error The column of a difference is a text or null.
    const text = storedText('installation.decoder_check', record);
    expect(() => parseStored('installation.decoder_check', text, 1)).toThrow('was edited');
  });
});

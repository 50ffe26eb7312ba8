import type { Store } from '../connection/client.ts';
import { compareViews } from './compare-views.ts';
import { listColumnDefinitions } from './definitions.ts';
import { listExpectedTables, normalType, type ExpectedIndex, type ExpectedTable } from './expected-tables.ts';
import type { SchemaDifference } from './schema-difference.ts';
import { readLiveTables, type LiveColumn, type LiveIndex, type LiveTables } from './live-tables.ts';

/**
 * Compares the tables and views of the store with the ones of the migrations on its server. Reads information_schema only.
 * `optionalViews`: queries of views that need not exist, by name. Triggers and scheduled events come first, because they may undo any
 * remedy.
 */
export async function compareSchema(
  store: Store,
  optionalViews: Readonly<Record<string, string>>,
): Promise<SchemaDifference[]> {
  const live = await readLiveTables(store);
  const tables = listExpectedTables(live.isMariaDb).flatMap((expected) => compareTable(expected, live));
  return [...live.added, ...tables, ...(await compareViews(store, optionalViews))];
}

function compareTable(expected: ExpectedTable, live: LiveTables): SchemaDifference[] {
  const table = live.tables.get(expected.name);
  const { name } = expected;
  if (!table) {
    const remedy = 'Put the table back from a backup of the store.';
    return [{ level: 'refuse', kind: 'deleted', message: `the table ${name} was dropped`, remedy }];
  }
  if (table.type === 'VIEW') {
    const remedy = 'Drop the view, and put the table back from a backup of the store.';
    return [
      { level: 'refuse', kind: 'edited', message: `${name} is a view, where the store has a table`, remedy },
    ];
  }
  const edited = (message: string, remedy: string): SchemaDifference => ({
    ...{ level: 'refuse', kind: 'edited', remedy: `${remedy} Then run \`audit verify\`.` },
    message: `the table ${name} ${message}`,
  });
  return [
    ...(table.type === 'BASE TABLE'
      ? []
      : [
          edited(
            'keeps old versions of its rows, also of erased ones',
            `ALTER TABLE \`${name}\` DROP SYSTEM VERSIONING;`,
          ),
        ]),
    ...(table.engine?.toLowerCase() === 'innodb'
      ? []
      : [
          edited(
            `has the engine ${table.engine ?? 'none'} instead of InnoDB`,
            `ALTER TABLE \`${name}\` ENGINE = InnoDB;`,
          ),
        ]),
    ...(table.isPartitioned
      ? [
          edited(
            'is partitioned: rows without a partition are refused, and a partition can be dropped',
            `ALTER TABLE \`${name}\` REMOVE PARTITIONING;`,
          ),
        ]
      : []),
    ...compareColumns(expected, { live, found: table.columns }),
    ...compareIndexes(expected, table.indexes),
  ];
}

interface FoundColumns {
  live: LiveTables;
  found: ReadonlyMap<string, LiveColumn>;
}

function compareColumns({ name: table, columns }: ExpectedTable, { live, found }: FoundColumns) {
  const differences: SchemaDifference[] = [];
  const values = new Map(defaultsOf(table));
  for (const { definition, ...column } of columns) {
    const name = `${table}.${column.name}`;
    const is = found.get(column.name);
    if (!is) {
      const message = `the column ${name} was dropped`;
      const remedy = `Put the table back from a backup of the store. Without its values: ALTER TABLE \`${table}\` ADD COLUMN ${definition};`;
      differences.push({ level: 'refuse', kind: 'deleted', message, column: column.name, remedy });
      continue;
    }
    const type = normalType(is.type, live.isMariaDb);
    const remedy = `ALTER TABLE \`${table}\` MODIFY COLUMN ${definition}; Then run \`audit verify\`.`;
    const add = (message: string): void =>
      void differences.push({ level: 'refuse', kind: 'edited', message, column: column.name, remedy });
    if (type !== column.type) add(`the column ${name} has the type ${is.type} instead of ${column.type}`);
    if (column.collation !== undefined && is.collation !== column.collation)
      add(
        `the column ${name} has the collation ${is.collation ?? 'none'} instead of ${column.collation ?? 'none'}`,
      );
    if (is.isNullable !== column.isNullable)
      add(`the column ${name} ${is.isNullable ? 'takes NULL' : 'takes no NULL'}, which was edited`);
    if (is.isAutoIncrement !== column.isAutoIncrement)
      add(`the column ${name} ${is.isAutoIncrement ? 'numbers rows' : 'does not number rows any more'}`);
    if (is.isInvisible) add(`the column ${name} is invisible`);
    const value = values.get(column.name) ?? null;
    if (is.value !== value)
      add(
        `the default of the column ${name} was edited: ${is.value ?? 'NULL'} instead of ${value ?? 'NULL'}`,
      );
  }
  const own = new Set(columns.map(({ name }) => name));
  for (const [name, { isNullable, hasDefault }] of found) {
    if (own.has(name)) continue;
    const message = `the column ${table}.${name} was added`;
    const remedy = `ALTER TABLE \`${table}\` DROP COLUMN \`${name}\`;`;
    const level = isNullable || hasDefault ? 'warn' : 'refuse';
    differences.push({ level, kind: 'inserted', message, column: name, remedy });
  }
  return differences;
}

const defaultsOf = (table: string): [string, string | null][] =>
  listColumnDefinitions()
    .filter((each) => each.table === table)
    .map(({ column, value }) => [column, value]);

function compareIndexes({ name: table, indexes }: ExpectedTable, found: ReadonlyMap<string, LiveIndex>) {
  const differences: SchemaDifference[] = [];
  const drop = (name: string): string =>
    name === 'PRIMARY'
      ? `ALTER TABLE \`${table}\` DROP PRIMARY KEY;`
      : `DROP INDEX \`${name}\` ON \`${table}\`;`;
  for (const index of indexes) {
    const is = found.get(index.name);
    const named = `the index ${index.name} of ${table}`;
    if (!is) {
      const message = `${named} was dropped`;
      differences.push({ level: 'refuse', kind: 'deleted', isIndex: true, message, remedy: index.statement });
    } else if (!isSameIndex(index, is)) {
      const message = `${named} was edited: ${is.text}`;
      const remedy = `${drop(index.name)} ${index.statement}`;
      differences.push({ level: 'refuse', kind: 'edited', isIndex: true, message, remedy });
    }
  }
  for (const [name, { isUnique, text }] of found) {
    if (indexes.some((index) => index.name === name)) continue;
    const message = `the index ${name} of ${table} was added: ${text}`;
    const level = isUnique ? 'refuse' : 'warn';
    differences.push({ level, kind: 'inserted', isIndex: true, message, remedy: drop(name) });
  }
  return differences;
}

const isSameIndex = ({ isUnique, columns }: ExpectedIndex, is: LiveIndex): boolean =>
  is.isUsed && is.isUnique === isUnique && is.parts.join() === columns.join();

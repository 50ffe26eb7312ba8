import type { Store } from '../../../db/connection/client.ts';
import { listColumnDefinitions, readViewQueries, toTokens } from '../../../db/schema/definitions.ts';
import { auditorViews } from '../../auditor.ts';
import { fail } from '../flaw.ts';

/**
 * What would change, hide or invent rows whatever they are: triggers and scheduled events in our schema, a view under the name of a table,
 * views that show other than the tables, and values that a row gets where a statement names none.
 */
export async function checkSchema(store: Store): Promise<void> {
  const [trigger] = await store.rows<{ name: string; at: string }>(
    'SELECT TRIGGER_NAME AS name, EVENT_OBJECT_TABLE AS at FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? LIMIT 1',
    [store.database],
  );
  if (trigger) fail('inserted', { message: `the table ${trigger.at} has a trigger, ${trigger.name}` });
  const [event] = await store.rows<{ name: string }>(
    'SELECT EVENT_NAME AS name FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? LIMIT 1',
    [store.database],
  );
  if (event) fail('inserted', { message: `the schema of the store has a scheduled event, ${event.name}` });
  await checkTables(store);
  await checkViews(store);
}

async function checkTables(store: Store): Promise<void> {
  const expected = listColumnDefinitions();
  const [view] = await store.rows<{ name: string }>(
    "SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME IN (?) AND TABLE_TYPE <> 'BASE TABLE' LIMIT 1",
    [store.database, [...new Set(expected.map(({ table }) => table))]],
  );
  if (view) fail('edited', { message: `${view.name} is a view, where the store has a table` });
  const columns = await store.rows<Printed>(
    `SELECT TABLE_NAME AS \`table\`, COLUMN_NAME AS \`column\`, COLUMN_DEFAULT AS value, EXTRA AS extra, GENERATION_EXPRESSION AS formula
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ?`,
    [store.database],
  );
  const printed = new Map(columns.map((column) => [`${column.table}.${column.column}`, toValue(column)]));
  for (const { table, column, value } of expected) {
    const name = `${table}.${column}`;
    if (!printed.has(name)) fail('deleted', { message: `the column ${name} was dropped`, fields: [column] });
    if (printed.get(name) !== value)
      fail('edited', {
        message: `the default of the column ${name} was edited: ${printed.get(name) ?? 'NULL'} instead of ${value ?? 'NULL'}`,
        fields: [column],
      });
  }
}

/** A column as information_schema has it. */
interface Printed {
  table: string;
  column: string;
  value: string | null;
  extra: string;
  formula: string | null;
}

/** MariaDB prints a default as SQL (`'open'`, `NULL`), MySQL its value. */
function toValue({ value, extra, formula }: Printed): string | null {
  if (formula) return toTokens(formula);
  const onUpdate = /on update \S+/i.exec(extra)?.[0] ?? '';
  if (value === null || value === 'NULL') return onUpdate === '' ? null : toTokens(onUpdate);
  return toTokens(`${value.replace(/^'(.*)'$/s, '$1')} ${onUpdate}`);
}

/** Views that people read. Those for an auditor are there once `audit auditor` made them. */
async function checkViews(store: Store): Promise<void> {
  const rows = await store.rows<{ name: string; query: string }>(
    'SELECT TABLE_NAME AS name, VIEW_DEFINITION AS query FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ?',
    [store.database],
  );
  const printed = new Map(rows.map(({ name, query }) => [name, toTokens(query, store.database)]));
  const own = readViewQueries();
  for (const [name, query] of [...own, ...Object.entries(auditorViews)]) {
    const found = printed.get(name);
    if (found === undefined) {
      if (own.has(name)) fail('deleted', { message: `the view ${name} was dropped` });
    } else if (found !== toTokens(query)) {
      fail('edited', {
        message: `the view ${name} was edited: this version defines it otherwise (migrate --auditor defines those of an auditor anew)`,
      });
    }
  }
}

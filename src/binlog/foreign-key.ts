import { readDefinition } from './dictionary.ts';
import type { Source } from './source.ts';

type Action = 'cascade' | 'set null';

/** A foreign key of a table, and what it changes in that table by itself. */
export interface ForeignKey {
  table: string;
  columns: readonly string[];
  /** The table that is pointed to, with its schema when that is another one. */
  parent: string;
  onDelete: Action | null;
  onUpdate: Action | null;
}

const name = '`(?:[^`]|``)+`';
const clause = new RegExp(
  `FOREIGN KEY \\((${name}(?:, ?${name})*)\\) REFERENCES ((?:${name}\\.)?${name}) \\([^)]*\\)([A-Z ]*)`,
  'g',
);

/**
 * Reads the foreign keys of tables from their definitions: information_schema hides them from a user who has no more than
 * SELECT on MariaDB. `unread` names the tables whose definition our user may not see.
 */
export async function readForeignKeys(
  source: Source,
  tables: readonly { name: string }[],
): Promise<{ keys: ForeignKey[]; unread: string[] }> {
  const definitions = await Promise.all(
    tables.map(async (table) => ({ table: table.name, text: await readDefinition(source, table.name) })),
  );
  return {
    keys: definitions.flatMap(({ table, text }) => parseForeignKeys(table, text)),
    unread: definitions.filter(({ text }) => text === '').map(({ table }) => table),
  };
}

/** The foreign keys in a CREATE TABLE as the server prints it. */
export function parseForeignKeys(table: string, definition: string): ForeignKey[] {
  return [...definition.matchAll(clause)].map(([, columns = '', parent = '', actions = '']) => ({
    table,
    columns: namesIn(columns),
    parent: namesIn(parent).join('.'),
    onDelete: actionIn(actions, 'DELETE'),
    onUpdate: actionIn(actions, 'UPDATE'),
  }));
}

function namesIn(text: string): string[] {
  return [...text.matchAll(/`((?:[^`]|``)+)`/g)].map(([, each = '']) => each.replaceAll('``', '`'));
}

function actionIn(actions: string, event: 'DELETE' | 'UPDATE'): Action | null {
  const found = new RegExp(`ON ${event} (CASCADE|SET NULL)`).exec(actions)?.[1];
  if (found === undefined) return null;
  return found === 'CASCADE' ? 'cascade' : 'set null';
}

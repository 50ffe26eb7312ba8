import { hash } from 'node:crypto';
import { quoteName } from '../source/quote-name.ts';
import { nameTable, type ForeignKey, type TableName } from './foreign-key.ts';

export const triggerPrefix = 'odontology_webhooks_';
/** Limit of MySQL and MariaDB, in characters. */
const MAX_NAME_CHARACTERS = 64;
const HASH_CHARACTERS = 12;

const quoted = ({ schema, table }: TableName): string => `${quoteName(schema)}.${quoteName(table)}`;

/**
 * Returns the name of the trigger that replaces a key's ON DELETE action. The same key always has the same name; a key with other
 * columns or another action has another name, so the name alone identifies what the trigger does.
 */
export function triggerName(key: ForeignKey): string {
  const { child, columns, parent, referenced, onDelete } = key;
  const parts = [child.schema, child.table, ...columns, parent.schema, parent.table, ...referenced, onDelete];
  const digest = hash('sha256', JSON.stringify(parts), 'hex').slice(0, HASH_CHARACTERS);
  const room = MAX_NAME_CHARACTERS - triggerPrefix.length - HASH_CHARACTERS - 1;
  const readable = child.table
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]/g, '_')
    .slice(0, room);
  return `${triggerPrefix}${readable}_${digest}`;
}

/** Returns the statement that creates a key's trigger; null if the key has no ON DELETE action. */
export function createTrigger(key: ForeignKey): string | null {
  const { child, columns, parent, referenced, onDelete } = key;
  if (onDelete === null) return null;
  const rows = columns
    .map((column, index) => `${quoteName(column)} = OLD.${quoteName(referenced[index]!)}`)
    .join(' AND ');
  const statement =
    onDelete === 'cascade'
      ? `DELETE FROM ${quoted(child)} WHERE ${rows}`
      : `UPDATE ${quoted(child)} SET ${columns.map((column) => `${quoteName(column)} = NULL`).join(', ')} WHERE ${rows}`;
  return `CREATE TRIGGER ${quoted({ ...parent, table: triggerName(key) })} BEFORE DELETE ON ${quoted(parent)} FOR EACH ROW\n  ${statement};`;
}

export function dropTrigger(key: ForeignKey): string {
  return `DROP TRIGGER IF EXISTS ${quoted({ ...key.parent, table: triggerName(key) })};`;
}

/** `rows of appointments are deleted with their patients` */
export function describeKey(key: ForeignKey, ours: string): string {
  const { columns, onDelete, onUpdate } = key;
  const [child, parent] = [nameTable(key.child, ours), nameTable(key.parent, ours)];
  const cells = `${child}.${columns.join(', ')}`;
  return [
    ...(onDelete === 'cascade' ? [`rows of ${child} are deleted with their ${parent}`] : []),
    ...(onDelete === 'set null' ? [`${cells} becomes NULL when its ${parent} is deleted`] : []),
    ...(onUpdate === null ? [] : [`${cells} changes with the key of ${parent}`]),
  ].join(', ');
}

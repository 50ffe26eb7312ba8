import type { Store } from '../../../db/connection/client.ts';
import type { SchemaDifference } from '../../../db/schema/schema-difference.ts';
import { readSchemaDifferences } from '../../schema-differences.ts';
import { fail } from '../flaw.ts';

/**
 * Fails for schema changes that alter, hide or invent rows: triggers and scheduled events in our schema, a view under the name of a table,
 * views that do not show the tables, and tables and columns that differ from those of the migrations.
 */
export async function checkSchema(store: Store): Promise<void> {
  failAt((await readSchemaDifferences(store)).find(({ level, isIndex }) => level !== 'warn' && !isIndex));
}

/** Indexes are checked last: a row that was added because an index is missing says more. */
export async function checkIndexes(store: Store): Promise<void> {
  failAt((await readSchemaDifferences(store)).find(({ level, isIndex }) => level !== 'warn' && isIndex));
}

function failAt(found: SchemaDifference | undefined): void {
  if (!found) return;
  const { kind, message, column, remedy } = found;
  fail(kind, {
    message: `${message} (remedy: ${remedy})`,
    ...(column !== undefined && { fields: [column] }),
  });
}

import type { Store } from '../../../db/connection/client.ts';
import type { SchemaDifference } from '../../../db/schema/schema-difference.ts';
import { readSchemaDifferences } from '../../schema-differences.ts';
import { fail } from '../flaw.ts';

/**
 * What would change, hide or invent rows whatever they are: triggers and scheduled events in our schema, a view under the name of a table,
 * views that show other than the tables, and tables and columns that differ from what the migrations make.
 */
export async function checkSchema(store: Store): Promise<void> {
  failAt((await readSchemaDifferences(store)).find(({ level, isIndex }) => level !== 'warn' && !isIndex));
}

/** Indexes come last: a row that could be added without one says more. */
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

import type { Store } from '../db/connection/client.ts';
import { compareSchema } from '../db/schema/compare-schema.ts';
import type { SchemaDifference } from '../db/schema/schema-difference.ts';
import { AppError } from '../lib/errors.ts';
import { auditorViews } from './auditor.ts';

/** Returns where the store's tables and views, including the auditor's, differ from the definitions of this version. */
export function readSchemaDifferences(store: Store): Promise<SchemaDifference[]> {
  return compareSchema(store, auditorViews);
}

/** Throws AppError ERR_STORE_SCHEMA if a difference can lose, alter or refuse rows. */
export async function requireSchema(store: Store): Promise<void> {
  const differences = await readSchemaDifferences(store);
  const refused = differences.filter(({ level }) => level === 'refuse');
  if (refused.length === 0) return;
  throw new AppError(
    'ERR_STORE_SCHEMA',
    `the tables of the store are not as this version makes them: ${refused.map(({ message }) => message).join('; ')}`,
    { remedy: refused.map(({ remedy }) => remedy).join('\n') },
  );
}

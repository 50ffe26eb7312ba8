import { randomBytes } from 'node:crypto';
import { errnoOf } from '../../db/connection/connect-error.ts';
import { quoteName } from '../source/quote-name.ts';
import type { Source } from '../source/source.ts';
import type { ForeignKey } from './foreign-key.ts';
import { createTrigger, triggerName, triggerPrefix } from './trigger-script.ts';

/** ER_TRG_DOES_NOT_EXIST; ER_BAD_DB: the schema does not exist either. */
const absent: ReadonlySet<number> = new Set([1360, 1049]);
/** ER_SPECIFIC_ACCESS_DENIED, ER_TABLEACCESS_DENIED: without TRIGGER, a user gets these only for triggers that exist. */
const refused: ReadonlySet<number> = new Set([1227, 1142]);

/**
 * Returns the names of the existing triggers that replace a key's action. The dictionary hides triggers from a user without the TRIGGER
 * privilege. SHOW CREATE TRIGGER refuses such a user an existing trigger, and reports a missing one as missing (seen on MySQL 9.7.4,
 * MariaDB 10.11.18 and 11.8.8). So the query asks by name, and the name identifies what the trigger does.
 */
export async function findTriggers(source: Source, keys: readonly ForeignKey[]): Promise<Set<string>> {
  const coverable = keys.filter((key) => createTrigger(key) !== null);
  const bySchema = Map.groupBy(coverable, ({ parent }) => parent.schema);
  const found = await Promise.all([...bySchema].map(([schema, of]) => findInSchema(source, schema, of)));
  return new Set(found.flat());
}

async function findInSchema(source: Source, schema: string, keys: readonly ForeignKey[]): Promise<string[]> {
  const nonsense = `${triggerPrefix}${randomBytes(8).toString('hex')}`;
  // If the server also refuses a trigger that does not exist, a refusal proves nothing.
  if (await isThere(source, schema, nonsense)) return [];
  const names = [...new Set(keys.map(triggerName))];
  const there = await Promise.all(names.map((name) => isThere(source, schema, name)));
  return names.filter((_, index) => there[index]);
}

async function isThere(source: Source, schema: string, name: string): Promise<boolean> {
  try {
    await source.query(`SHOW CREATE TRIGGER ${quoteName(schema)}.${quoteName(name)}`);
    return true;
  } catch (error) {
    const number = errnoOf(error) ?? 0;
    if (absent.has(number)) return false;
    if (refused.has(number)) return true;
    throw error;
  }
}

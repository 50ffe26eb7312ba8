import { getTableName, is, MySqlTable } from '../../../db/schema/drizzle.ts';
import * as schema from '../../../db/schema/schema.ts';
import type { Store } from '../../../db/connection/client.ts';
import { fail } from '../flaw.ts';

/**
 * What would change or hide rows whatever they are: triggers and scheduled events in our schema, and a view under the name of a table.
 * Of the three the store has none.
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
  const names = Object.values(schema).flatMap((table) =>
    is(table, MySqlTable) ? [getTableName(table)] : [],
  );
  const [view] = await store.rows<{ name: string }>(
    "SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME IN (?) AND TABLE_TYPE <> 'BASE TABLE' LIMIT 1",
    [store.database, names],
  );
  if (view) fail('edited', { message: `${view.name} is a view, where the store has a table` });
}

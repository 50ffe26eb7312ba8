import { expect, it } from 'vitest';
import { formatError } from '../../src/cli/terminal/output.ts';
import { openStore } from '../../src/db/connection/client.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { webhooks } from '../../src/db/schema/schema.ts';

it('names a store that takes no connection by its code, also where Drizzle asked for the connection', async () => {
  const store = openStore(parseDatabaseUrl('mysql://u:p@127.0.0.1:1/store'));
  const error = await store.drizzle
    .select()
    .from(webhooks)
    .catch((thrown: unknown) => thrown);
  await store.close();
  expect(formatError(error)).toContain('ERR_STORE_UNREACHABLE');
  expect(formatError(error)).toContain('Start the database server');
});

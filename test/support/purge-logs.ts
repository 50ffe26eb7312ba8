import { waitFor } from './wait-for.ts';

/**
 * Purges all binlog files but the one that is being written, and returns that one's name. MariaDB keeps a file until the engine
 * has flushed its contents, and both keep what a reader has open: so it asks again until only one is left.
 */
export async function purgeLogs(query: (sql: string) => Promise<Record<string, unknown>[]>): Promise<string> {
  return waitFor(
    async () => {
      const names = (await query('SHOW BINARY LOGS')).map((row) => String(row['Log_name']));
      const newest = names.at(-1)!;
      if (names.length === 1) return newest;
      await query(`PURGE BINARY LOGS TO '${newest}'`);
      return undefined;
    },
    { timeoutMs: 30_000, what: 'the old files to be purged' },
  );
}

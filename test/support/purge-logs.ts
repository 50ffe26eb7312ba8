import { waitFor } from './wait-for.ts';

/**
 * Purges all binlog files except the current one, and returns the name of the current one. MariaDB keeps a file until the engine
 * has flushed its contents, and both servers keep a file that a reader has open, so this repeats until only one file is left.
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

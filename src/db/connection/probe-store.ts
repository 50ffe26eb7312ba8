import type { Connection, RowDataPacket } from 'mysql2/promise';
import type { DatabaseUrl } from './database-url.ts';
import { codeOf } from '../../lib/errors.ts';
import { openDefinitionSession, readAccount } from '../schema/migrate.ts';
import { readOnlyStore, toStoreError } from './store-error.ts';

/**
 * Tests whether the store could be written, without writing: with statements that touch no row or, before the first migration, a temporary
 * table, which disappears with the connection. Throws AppError ERR_STORE_UNREACHABLE, ERR_STORE_ACCESS with the GRANT that fixes it, or
 * ERR_STORE_SCHEMA. Returns the server's max_allowed_packet, and the GRANT without which our sessions cannot log less.
 */
export async function probeStore(
  url: DatabaseUrl,
): Promise<{ packetBytes: number; grantForLessLog?: string }> {
  let account: string | undefined;
  let connection: Connection | undefined;
  try {
    connection = await openDefinitionSession(url);
    account = await readAccount(connection);
    await refuseReadOnly(connection, url);
    if (await isMigrated(connection, url.database)) await touchNothing(connection, url.database);
    else await makeTemporaryTable(connection, url.database);
    const [[row]] = await connection.query<RowDataPacket[]>('SELECT @@max_allowed_packet AS bytes');
    const grantForLessLog = await findGrantForLessLog(connection, account);
    return { packetBytes: Number(row?.['bytes']), ...(grantForLessLog !== undefined && { grantForLessLog }) };
  } catch (error) {
    throw toStoreError(error, url, account);
  } finally {
    connection?.destroy();
  }
}

/** Tries the settings that `prepareSession` makes in each session of the store. Returns undefined if the account may make them. */
async function findGrantForLessLog(
  connection: Connection,
  account: string | undefined,
): Promise<string | undefined> {
  try {
    await connection.query('SET SESSION binlog_row_image = MINIMAL');
    return undefined;
  } catch (error) {
    if (codeOf(error) !== 'ER_SPECIFIC_ACCESS_DENIED_ERROR') throw error;
    const [[row]] = await connection.query<RowDataPacket[]>('SELECT VERSION() AS version');
    const privilege = /mariadb/i.test(String(row?.['version'])) ? 'BINLOG ADMIN' : 'SESSION_VARIABLES_ADMIN';
    return `GRANT ${privilege} ON *.* TO ${account ?? 'CURRENT_USER()'};`;
  }
}

async function refuseReadOnly(connection: Connection, url: DatabaseUrl): Promise<void> {
  const [[row]] = await connection.query<RowDataPacket[]>('SELECT @@GLOBAL.read_only AS readOnly');
  if (Number(row?.['readOnly']) === 0) return;
  throw readOnlyStore(url);
}

async function isMigrated(connection: Connection, schema: string): Promise<boolean> {
  const [found] = await connection.query<RowDataPacket[]>(
    "SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_name = 'checkpoint'",
    [schema],
  );
  return found.length > 0;
}

/** The server checks privileges before it looks for rows. */
async function touchNothing(connection: Connection, schema: string): Promise<void> {
  for (const sql of [
    'UPDATE ??.checkpoint SET id = id WHERE FALSE',
    'DELETE FROM ??.checkpoint WHERE FALSE',
    'INSERT INTO ??.leases SELECT * FROM ??.leases WHERE FALSE',
  ]) {
    await connection.query(sql, [schema, schema]);
  }
}

/**
 * GRANT ALL on the schema includes the right to create it; without the schema, the server reports the missing right before the missing
 * schema.
 */
async function makeTemporaryTable(connection: Connection, schema: string): Promise<void> {
  try {
    await connection.query('CREATE TEMPORARY TABLE ??.probe (id INT PRIMARY KEY)', [schema]);
  } catch (error) {
    if (codeOf(error) !== 'ER_BAD_DB_ERROR') throw error;
  }
}

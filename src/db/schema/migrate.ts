import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise';
import { toConnectionTarget, type DatabaseUrl } from '../connection/database-url.ts';
import { AppError } from '../../lib/errors.ts';
import { applyMigrations } from './apply-migrations.ts';
import { migrationsFolder } from './definitions.ts';
import { sessionStatements } from '../connection/session-variables.ts';
import { toStoreError } from '../connection/store-error.ts';

const lockWaitSeconds = 120;

export interface Migrated {
  /** Migrations applied now; 0 if the schema was up to date. */
  applied: number;
  createdSchema: boolean;
}

/**
 * Creates the store's schema if it is missing and brings its tables up to date. Several daemons may start at once: a server lock lets one
 * migrate while the others wait. A migration that was killed is continued. Throws AppError ERR_CONFIG, ERR_STORE_UNREACHABLE,
 * ERR_STORE_ACCESS or ERR_STORE_SCHEMA.
 */
export async function migrateStore(url: DatabaseUrl): Promise<Migrated> {
  if (url.database === '') {
    throw new AppError('ERR_CONFIG', 'store.url names no schema', {
      remedy: 'End it with /odontology_webhooks.',
    });
  }
  let account: string | undefined;
  let connection: Connection | undefined;
  try {
    connection = await openDefinitionSession(url);
    account = await readAccount(connection);
    await refuseOldServer(connection);
    return await withLock(connection, url.database, () => bringUpToDate(connection!, url.database));
  } catch (error) {
    throw toStoreError(error, url, account);
  } finally {
    connection?.destroy();
  }
}

async function bringUpToDate(connection: Connection, schema: string): Promise<Migrated> {
  const createdSchema = await createSchemaIfMissing(connection, schema);
  await connection.query('USE ??', [schema]);
  return { applied: await applyMigrations(connection, migrationsFolder), createdSchema };
}

/** Before 8.0.17, MySQL has no collation that compares keys byte by byte without padding. */
async function refuseOldServer(connection: Connection): Promise<void> {
  const [[row]] = await connection.query<RowDataPacket[]>(
    'SELECT VERSION() AS version /*!80017 , 1 AS ok */',
  );
  const version = String(row?.['version']);
  if (row?.['ok'] === 1 || /mariadb/i.test(version)) return;
  throw new AppError('ERR_STORE_SCHEMA', `the store's server is MySQL ${version}`, {
    remedy: 'Upgrade it to MySQL 8.0.17 or later, or name another server in store.url.',
  });
}

/** Checks first: a user without CREATE on the server can still use an existing schema. */
async function createSchemaIfMissing(connection: Connection, schema: string): Promise<boolean> {
  const [found] = await connection.query<RowDataPacket[]>(
    'SELECT 1 FROM information_schema.schemata WHERE schema_name = ?',
    [schema],
  );
  if (found.length > 0) return false;
  await connection.query('CREATE DATABASE IF NOT EXISTS ?? CHARACTER SET utf8mb4', [schema]);
  return true;
}

/** The lock's name contains the schema: locks are per server, and one server may hold several stores. */
async function withLock<T>(connection: Connection, schema: string, work: () => Promise<T>): Promise<T> {
  const name = `migrate ${schema}`.slice(0, 64);
  const [[row]] = await connection.query<RowDataPacket[]>('SELECT GET_LOCK(?, ?) AS held', [
    name,
    lockWaitSeconds,
  ]);
  if (row?.['held'] !== 1) {
    throw new AppError(
      'ERR_STORE_SCHEMA',
      `another process has been migrating the store for ${lockWaitSeconds} s`,
      {
        remedy: `Wait for it, or find it: SELECT IS_USED_LOCK('${name}');`,
      },
    );
  }
  try {
    return await work();
  } finally {
    // If this fails, closing the connection releases the lock too.
    await connection.query('SELECT RELEASE_LOCK(?)', [name]).catch(() => undefined);
  }
}

export async function readAccount(connection: Connection): Promise<string | undefined> {
  const [[row]] = await connection.query<RowDataPacket[]>('SELECT CURRENT_USER() AS account');
  const account = String(row?.['account']);
  const at = account.lastIndexOf('@');
  return at < 0 ? undefined : `'${account.slice(0, at)}'@'${account.slice(at + 1)}'`;
}

/** Opens a connection to the store's server, outside any schema, for statements that define tables. */
export async function openDefinitionSession(url: DatabaseUrl): Promise<Connection> {
  const connection = await createConnection({
    ...toConnectionTarget({ ...url, database: '' }),
    charset: 'utf8mb4',
    timezone: 'Z',
    connectTimeout: 10_000,
  });
  try {
    for (const sql of sessionStatements({ kind: 'definition' })) await connection.query(sql);
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

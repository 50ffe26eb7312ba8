import type { Connection, RowDataPacket } from 'mysql2/promise';
import { errnoOf } from '../connection/connect-error.ts';
import type { Session } from '../connection/client.ts';
import { readMigrationFiles } from './drizzle.ts';

/*
 * MySQL and MariaDB commit each definition by itself: a migration that is killed, or whose disk is full, leaves its first statements
 * applied. So each statement is recorded before it runs, and the next run continues there:
 *
 *   record the start of statement n ──▶ run it ──▶ record the start of n + 1 … ──▶ record the migration, as Drizzle does
 *
 * One statement is atomic (MySQL 8.0, MariaDB 10.6). Running a started statement again shows whether it was applied.
 */

/** Errors for a definition that was applied already. An INSERT of a migration has a fixed key. */
const alreadyDone: ReadonlySet<number> = new Set([
  1050, // ER_TABLE_EXISTS_ERROR
  1060, // ER_DUP_FIELDNAME
  1061, // ER_DUP_KEYNAME
  1062, // ER_DUP_ENTRY
  1091, // ER_CANT_DROP_FIELD_OR_KEY
]);

const journalTable = `CREATE TABLE IF NOT EXISTS __drizzle_migrations
  (id SERIAL PRIMARY KEY, hash TEXT NOT NULL, created_at BIGINT) ROW_FORMAT=DYNAMIC`;
const progressTable = `CREATE TABLE IF NOT EXISTS migration_progress
  (id TINYINT PRIMARY KEY, migration BIGINT NOT NULL, statement INT NOT NULL, refused BOOLEAN NOT NULL) ROW_FORMAT=DYNAMIC`;

/** Where a migration was interrupted. */
interface Progress {
  /** Its name in the journal. */
  migration: number;
  /** The statement that was started, counted from 0. */
  statement: number;
  /** Whether the server refused it: then it was not applied. */
  refused: boolean;
}

type Statements = Pick<Connection, 'query'>;

/**
 * Applies the migrations of a folder that the connection's schema does not have yet, and continues an interrupted one. Returns the number
 * of applied migrations. One call at a time; throws the server's error.
 */
export async function applyMigrations(connection: Statements, migrationsFolder: string): Promise<number> {
  const migrations = readMigrationFiles({ migrationsFolder });
  for (const sql of [journalTable, progressTable]) await connection.query(sql);
  const [[last]] = await connection.query<RowDataPacket[]>(
    'SELECT MAX(created_at) AS createdAt FROM __drizzle_migrations',
  );
  const pending = migrations.filter(({ folderMillis }) => folderMillis > Number(last?.['createdAt'] ?? 0));
  if (pending.length === 0) return 0;
  const begun = await readProgress(connection);
  for (const { folderMillis: migration, hash, sql } of pending) {
    const before = begun?.migration === migration ? begun : { statement: 0, refused: true };
    for (const [statement, text] of sql.entries()) {
      if (statement < before.statement) continue;
      const mayBeDone = statement === before.statement && !before.refused;
      await run(connection, text, { migration, statement, mayBeDone });
    }
    await connection.query('INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)', [
      hash,
      migration,
    ]);
  }
  return pending.length;
}

/** Returns how many migrations of a folder a schema lacks. Reads only; throws the server's error, also if there is no journal yet. */
export async function countPending(
  session: Pick<Session, 'rows'>,
  migrationsFolder: string,
): Promise<number> {
  const [last] = await session.rows<{ createdAt: number | null }>(
    'SELECT MAX(created_at) AS createdAt FROM __drizzle_migrations',
  );
  return readMigrationFiles({ migrationsFolder }).filter(
    ({ folderMillis }) => folderMillis > (last?.createdAt ?? 0),
  ).length;
}

async function readProgress(connection: Statements): Promise<Progress | undefined> {
  const [[row]] = await connection.query<RowDataPacket[]>(
    'SELECT migration, statement, refused FROM migration_progress WHERE id = 1',
  );
  return (
    row && {
      migration: Number(row['migration']),
      statement: Number(row['statement']),
      refused: Number(row['refused']) === 1,
    }
  );
}

async function noteProgress(connection: Statements, progress: Progress): Promise<void> {
  const { migration, statement, refused } = progress;
  const values = [migration, statement, refused ? 1 : 0];
  await connection.query('REPLACE INTO migration_progress VALUES (1, ?, ?, ?)', values);
}

interface Running extends Omit<Progress, 'refused'> {
  /** Whether it was started when the previous run ended. */
  mayBeDone: boolean;
}

async function run(connection: Statements, text: string, { mayBeDone, ...place }: Running): Promise<void> {
  await noteProgress(connection, { ...place, refused: false });
  try {
    await connection.query(text);
  } catch (error) {
    const errno = errnoOf(error) ?? 0;
    if (mayBeDone && alreadyDone.has(errno)) return;
    // Without a connection it is unknown whether the statement was applied, and this write fails too.
    await noteProgress(connection, { ...place, refused: true }).catch(() => undefined);
    throw error;
  }
}

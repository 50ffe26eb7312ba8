import { readFile } from 'node:fs/promises';
import type { Connection } from 'mysql2/promise';
import { splitSqlScript } from './sql-script.ts';

const script = new URL('../../config/clinic/ontology_db.sql', import.meta.url);

/** Creates the clinic's tables, procedures and people in the connection's current, empty schema. */
export async function loadClinic(connection: Connection): Promise<void> {
  for (const statement of splitSqlScript(await readFile(script, 'utf8'))) await connection.query(statement);
}

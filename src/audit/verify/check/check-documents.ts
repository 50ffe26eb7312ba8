import type { Session } from '../../../db/connection/client.ts';
import { parseStored, type JsonColumn } from '../../../db/proof/stored-json.ts';

/** Documents of the engine that no leaf and no act contains: only their shape can be checked. Each is in row 1 of its table. */
const documents: readonly JsonColumn[] = [
  'installation.decoder_check',
  'checkpoint.halt',
  'checkpoint.waived',
  'known_tables.baseline',
  'known_tables.keys_in_force',
];

/** Throws EditedRowError for a document whose shape the engine does not write: it would stop the daemon. */
export async function checkDocuments(session: Session): Promise<void> {
  for (const name of documents) {
    const [table, column] = name.split('.') as [string, string];
    const [row] = await session.rows<{ text: string | null }>(
      `SELECT \`${column}\` AS text FROM \`${table}\` WHERE id = 1`,
    );
    if (row && row.text !== null) parseStored(name, row.text, 1);
  }
}

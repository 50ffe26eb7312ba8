import { getTableColumns, sql } from './drizzle.ts';
import { webhooks } from './schema.ts';

type Document = (typeof webhooks)['events' | 'fields' | 'filter' | 'headers'];

/**
 * Reads a document column as an empty text if it takes more than this part of a packet: SQL can write any length, and a server sends no row
 * that is larger than a packet. The parts leave a tenth of the packet for the other columns (100 kB of 1 MiB; they take at most 40). A JSON
 * document is never empty. MySQL also returns an empty text for a document whose text does not fit into a packet.
 */
const bounded = <Column extends Document>(column: Column, part: number) =>
  sql`IF(OCTET_LENGTH(${column}) <= @@max_allowed_packet * ${sql.raw(String(part))}, ${column}, IF(${column} IS NULL, NULL, ''))`.mapWith(
    column,
  );

/** The columns of `webhooks`, so that every row can be read. */
export const webhookColumns = {
  ...getTableColumns(webhooks),
  events: bounded(webhooks.events, 0.25),
  fields: bounded(webhooks.fields, 0.25),
  filter: bounded(webhooks.filter, 0.2),
  headers: bounded(webhooks.headers, 0.2),
};

/** Whether a column was read as too large. */
export const isTooLarge = (document: unknown): boolean => document === '';

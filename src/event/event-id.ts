import { hash } from 'node:crypto';

/**
 * The id of an event: `evt_` and 32 hex characters of a SHA-256 over the lineage of the source, the transaction, the table, the row's
 * key, the row's ordinal in the transaction and the event type. Each part is prefixed with its length, so that no two lists of parts
 * produce the same text. A pure function of the binlog: when it is read again after a crash, the same change gets the same id.
 */
export function eventId(transaction: string, row: string, type: string): string {
  return `evt_${hash('sha256', transaction + row + type, 'hex').slice(0, 32)}`;
}

/** Parts of an id, with their lengths. `eventId` joins the three groups; a group that many events share is built once. */
export function idPart(...parts: readonly string[]): string {
  let text = '';
  for (const part of parts) text += `${part.length}:${part}`;
  return text;
}

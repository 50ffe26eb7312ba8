import { storedText } from '../../db/proof/stored-json.ts';
import { insertRows, literal } from '../../db/connection/sql-text.ts';
import type { Marker } from '../../db/proof/marks.ts';
import type { DomainEvent } from '../../event/types.ts';
import type { Planned } from './fan-out.ts';
import { storedKey } from './lane.ts';
import { toSqlDatetime } from '../sql-datetime.ts';
import type { PayloadEncryptor } from '../payload/payload-encryptor.ts';

/** An event with its position in the log. */
export interface PlacedEvent {
  seq: number;
  event: DomainEvent;
  transactionId: string;
}

export type QueueState = 'sending' | 'pending' | 'waiting';

/** A delivery with its position in the log and in the queue. */
export interface PlacedDelivery extends Planned {
  id: number;
  of: PlacedEvent;
  state: QueueState;
}

const eventColumns =
  'seq, id, type, entity_table, entity_key, subject, transaction_id, occurred_at, staging, read_late, body';

interface EventInserts {
  /** As in the schema. */
  staging: number;
  encryptor: PayloadEncryptor;
  /** Events that are recorded without their payloads. */
  erased?: ReadonlySet<PlacedEvent>;
}

export function insertEvents(
  events: readonly PlacedEvent[],
  { staging, encryptor, erased = new Set() }: EventInserts,
): string[] {
  const bodyOf = (placed: PlacedEvent): string =>
    literal(erased.has(placed) ? null : encryptor.encrypt(placed.event, placed.event.body));
  return insertRows(
    `event_log (${eventColumns})`,
    events.map((placed) => {
      const { seq, event, transactionId } = placed;
      return (
        `(${seq},${literal(event.id)},${literal(event.type)},${literal(event.entity.table)},` +
        `${literal(storedKey(event.entity.key))},` +
        `${literal(event.subject === null ? null : storedKey(event.subject))},${literal(transactionId)},'${toSqlDatetime(event.occurredAtMs)}',` +
        `${staging},${literal(event.readLate?.length ? storedText('event_log.read_late', event.readLate) : null)},${bodyOf(placed)})`
      );
    }),
  );
}

/** Reserves the space that an outcome adds to the row: its time, its status and a short answer. */
const outcomeReserve = ' '.repeat(16);

interface DeliveryInserts {
  encryptor: PayloadEncryptor;
  marker: Marker;
}

export function insertDeliveries(
  deliveries: readonly PlacedDelivery[],
  { encryptor, marker }: DeliveryInserts,
): string[] {
  return insertRows(
    'delivery_log (id, webhook_id, event_seq, reserve, payload, mark)',
    deliveries.map(({ id, webhookId, of, payload }) => {
      const { id: eventId, type: eventType, body } = of.event;
      const marked = { id, webhookId, eventSeq: of.seq, eventId, eventType, body: payload ?? body };
      return (
        `(${id},${webhookId},${of.seq},'${outcomeReserve}',` +
        `${literal(payload === null ? null : encryptor.encrypt(of.event, payload))},X'${marker.ofDelivery(marked).toString('hex')}')`
      );
    }),
  );
}

export interface QueueRow {
  id: number;
  webhookId: number;
  eventSeq: number;
  lane: number | null;
  state: QueueState;
  /** Number of attempts before it was reopened; 0 for a new delivery. */
  attemptsBefore?: number;
}

/**
 * INSERTs of queue rows. Rows in state `sending` are claimed by `owner`; in other rows its name reserves the space for a later claim. Requires
 * `claimVariables` in the same script.
 */
export function insertQueue(rows: readonly QueueRow[], owner: string): string[] {
  const claimed = `@now,${literal(owner)}`;
  return insertRows(
    'queue (delivery_id, webhook_id, event_seq, lane, state, due_at, attempt, attempts_before, claimed_at, claimed_by)',
    rows.map(({ id, webhookId, eventSeq, lane, state, attemptsBefore = 0 }) => {
      const key = `${id},${webhookId},${eventSeq},${lane ?? 'NULL'}`;
      switch (state) {
        case 'sending':
          return `(${key},'sending',@until,${attemptsBefore + 1},${attemptsBefore},${claimed})`;
        case 'pending':
          return `(${key},'pending',@now,${attemptsBefore},${attemptsBefore},${claimed})`;
        case 'waiting':
          return `(${key},'waiting',NULL,${attemptsBefore},${attemptsBefore},${claimed})`;
      }
    }),
  );
}

/** One reading of the store's clock for all rows of a script: `@now`, and `@until` for the end of a claim. */
export function claimVariables(claimMs: number): string {
  return `SET @now = UTC_TIMESTAMP(3), @until = UTC_TIMESTAMP(3) + INTERVAL ${literal(claimMs * 1_000)} MICROSECOND`;
}

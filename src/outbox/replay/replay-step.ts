import { parseExactJson } from '../../lib/exact-json.ts';
import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { openMarker } from '../../db/proof/marks.ts';
import { idIn } from '../../db/connection/sql-text.ts';
import { matchesFilter } from '../../event/filter.ts';
import type { DomainEvent } from '../../event/types.ts';
import { claimVariables, insertDeliveries, type PlacedDelivery } from '../append/append-statements.ts';
import { enterQueue } from '../append/enter-queue.ts';
import { plan } from '../append/fan-out.ts';
import { laneOf } from '../append/lane.ts';
import { fromSqlDatetime } from '../sql-datetime.ts';
import { createPayloadEncryptor } from '../payload/payload-encryptor.ts';
import { openPayloads, type StoredPayload } from '../payload/payloads.ts';
import { promoteLanes } from '../queue/promote.ts';
import { lanesOf } from '../queue/queue-lanes.ts';
import { enterStatements, reopenLog, type Entering } from '../queue/reopen.ts';
import { knownToAllMs } from '../webhook/missed.ts';
import { endReplay, eventConditions, openEnd, toReplay, wantedTypes, type ReplayRow } from './replay.ts';
import type { Subscription } from '../types.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

interface StoredEvent extends StoredPayload {
  seq: number;
  type: string;
  entityTable: string;
  entityKey: string;
  transactionId: string;
  occurredAt: string;
}

type EventRow = StoredEvent & { body: string };

/** Maximum number of log events in one step, matching or not, so that the step is short. */
const windowEvents = 2_000;
/** A replay queues at most this many of the webhook's deliveries ahead of new events. */
const backlogDeliveries = 2_000;
const stepDeliveries = 500;
const backlogWaitMs = 250;
const unknownWaitMs = 1_000;
const endWaitMs = 1_000;

export interface ReplayStep {
  /** Deliveries that the step put into the queue. */
  queued: number;
  /** Time until the next step, ms; null when the replay has ended. */
  waitMs: number | null;
}

/**
 * Continues a replay with one bounded transaction. It keeps the webhook's queue short, so that new events are not delayed much. Only one process at a time
 * should run it, because otherwise its rate is multiplied.
 */
export async function stepReplay(
  { store, cipher }: EncryptedStore,
  id: number,
  { webhooks, onEnd }: ReplayStepOptions,
): Promise<ReplayStep> {
  const { lanes, ...step } = await store.transaction(async (tx) => {
    const { ended, ...within } = await stepWithin({ tx, cipher }, id, webhooks);
    if (ended) await onEnd?.(tx, id);
    return within;
  });
  await promoteLanes(store, lanes);
  return step;
}

export interface ReplayStepOptions {
  webhooks: readonly Subscription[];
  /** Writes in the transaction of the step that ends the replay. */
  onEnd?(tx: Session, id: number): Promise<void>;
}

/** The transaction of one step. */
interface Within {
  tx: Session;
  cipher: Cipher;
}

async function stepWithin(
  within: Within,
  id: number,
  webhooks: readonly Subscription[],
): Promise<ReplayStep & Pick<Queued, 'lanes'> & { ended: boolean }> {
  const { tx } = within;
  const idle = { queued: 0, lanes: new Set<number>(), ended: false };
  const [row] = await tx.rows<ReplayRow>(
    "SELECT * FROM replays WHERE id = ? AND state = 'running' FOR UPDATE SKIP LOCKED",
    [id],
  );
  if (!row) return { ...idle, waitMs: null };
  const webhook = webhooks.find((candidate) => candidate.id === row.webhook_id);
  if (!webhook) {
    const waitMs = await waitForWebhook(tx, row);
    return { ...idle, waitMs, ended: waitMs === null };
  }
  const room = Math.min(stepDeliveries, backlogDeliveries - (await countBacklog(tx, webhook.id)));
  if (room <= 0) return { ...idle, waitMs: backlogWaitMs };
  const rate = row.rate_per_second;
  const limit = rate === null ? room : Math.min(room, Math.max(1, Math.floor(rate)));
  const { lastSeq, isFinal } = await readEnd(tx, row);
  const { queued, lanes, nextSeq } = await queueWindow(within, { row, webhook, limit, lastSeq });
  const isAtEnd = nextSeq > lastSeq;
  const done = isAtEnd && isFinal;
  await tx.run(
    `UPDATE replays SET next_seq = ?, queued = queued + ?${done ? ", state = 'done', finished_at = UTC_TIMESTAMP(3)" : ''}
     WHERE id = ?`,
    [nextSeq, queued, id],
  );
  if (done) return { queued, lanes, waitMs: null, ended: true };
  const pacedMs = rate === null ? 0 : (queued * 1_000) / rate;
  return { queued, lanes, waitMs: isAtEnd ? Math.max(endWaitMs, pacedMs) : pacedMs, ended: false };
}

/** The end of a replay of missed events is known once every process queues for the webhook again. */
async function readEnd(
  tx: Session,
  { last_seq: lastSeq, webhook_id }: ReplayRow,
): Promise<{ lastSeq: number; isFinal: boolean }> {
  if (lastSeq !== openEnd) return { lastSeq, isFinal: true };
  const [row] = await tx.rows<{ lastSeq: number; isFinal: number }>(
    `SELECT c.next_event_seq - 1 AS lastSeq, w.updated_at < UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND AS isFinal
     FROM checkpoint c JOIN webhooks w ON w.id = ? WHERE c.id = 1`,
    [knownToAllMs * 1_000, webhook_id],
  );
  return { lastSeq: row!.lastSeq, isFinal: row!.isFinal === 1 };
}

/** Not among the loaded webhooks: it may be new, or its row may need a correction; a replay to a deleted one ends. */
async function waitForWebhook(tx: Session, { id, webhook_id }: ReplayRow): Promise<number | null> {
  const known = await tx.rows('SELECT 1 FROM webhooks WHERE id = ? AND deleted_at IS NULL', [webhook_id]);
  if (known.length > 0) return unknownWaitMs;
  await endReplay(tx, id);
  return null;
}

interface Queued {
  queued: number;
  /** Lanes in which a delivery may have become due. */
  lanes: Set<number>;
}

interface Window {
  row: ReplayRow;
  webhook: Subscription;
  limit: number;
  lastSeq: number;
}

async function queueWindow(
  within: Within,
  { row, webhook, limit, lastSeq }: Window,
): Promise<Queued & { nextSeq: number }> {
  const endSeq = Math.max(row.next_seq, Math.min(row.next_seq + windowEvents, lastSeq + 1));
  const request = toReplay(row);
  const { text, values } = eventConditions(request);
  const wanted = wantedTypes(request, webhook);
  const candidates = await within.tx.rows<StoredEvent>(
    `SELECT e.seq, e.seq AS eventSeq, e.id AS eventId, e.type, e.subject, e.entity_table AS entityTable, e.entity_key AS entityKey,
       e.transaction_id AS transactionId, e.occurred_at AS occurredAt, e.body AS payload
     FROM event_log e FORCE INDEX (PRIMARY) WHERE e.seq >= ? AND e.seq < ? AND ${text} ORDER BY e.seq`,
    [row.next_seq, endSeq, ...values],
  );
  const events = candidates.filter(({ type }) => wanted(type));
  const kept = await withBodies(within, events.slice(0, limit));
  const nextSeq = events.length > limit ? events[limit]!.seq : endSeq;
  if (kept.length === 0) return { queued: 0, lanes: new Set(), nextSeq };
  return { ...(await queueEvents(within, kept, { webhook, reopens: !request.missedOnly })), nextSeq };
}

/** The events that can be sent; the payloads of the others were removed. */
async function withBodies({ tx, cipher }: Within, events: readonly StoredEvent[]): Promise<EventRow[]> {
  const opened = await openPayloads(tx, cipher, events);
  return events.flatMap((event, index) => {
    const payload = opened[index]!;
    return payload.kind === 'readable' ? [{ ...event, body: payload.text }] : [];
  });
}

/** Reopens ended deliveries, leaves running ones unchanged, and creates missing ones. */
function queueEvents(
  { tx, cipher }: Within,
  events: readonly EventRow[],
  { webhook, reopens }: { webhook: Subscription; reopens: boolean },
): Promise<Queued> {
  return enterQueue(tx, async ({ deliveryId }) => {
    const known = await knownDeliveries(tx, events, webhook.id);
    const ended = reopens ? [...known.values()].filter(({ status }) => status === 'ended') : [];
    const created = createDeliveries(
      events.filter(({ seq }) => !known.has(seq)),
      webhook,
      deliveryId,
    );
    const idAndAttempts = new Map([
      ...ended.map(({ seq, id, attempts }) => [seq, { id, attempts }] as const),
      ...created.map(({ of, id }) => [of.seq, { id, attempts: 0 }] as const),
    ]);
    const entering = events.flatMap((event): Entering[] => {
      const found = idAndAttempts.get(event.seq);
      return found
        ? [{ ...found, webhookId: webhook.id, eventSeq: event.seq, lane: toLane(webhook, event) }]
        : [];
    });
    const result = { queued: entering.length, lanes: lanesOf(entering) };
    if (entering.length === 0) return { statements: [], events: 0, deliveries: 0, result };
    const encryptor = await createPayloadEncryptor(
      tx,
      cipher,
      created.map(({ of }) => of.event),
    );
    const marker = await openMarker(tx, cipher);
    const statements = [
      claimVariables(0),
      ...encryptor.statements,
      reopenLog(ended.map(({ id }) => id)),
      ...insertDeliveries(created, { encryptor, marker }),
      ...(await enterStatements(tx, entering)),
    ];
    return { statements, events: 0, deliveries: created.length, result };
  });
}

/** The filter sees the logged data of an event. */
function createDeliveries(
  events: readonly EventRow[],
  webhook: Subscription,
  firstId: number,
): PlacedDelivery[] {
  return events
    .map((row) => ({ seq: row.seq, event: toEvent(row), transactionId: row.transactionId }))
    .filter(({ event }) => webhook.filter === null || matchesFilter(webhook.filter, event))
    .map((of, index) => ({ ...plan(webhook, of.event), id: firstId + index, of, state: 'pending' }));
}

interface KnownDelivery {
  id: number;
  seq: number;
  status: 'open' | 'ended';
  attempts: number;
}

async function knownDeliveries(
  tx: Session,
  events: readonly EventRow[],
  webhookId: number,
): Promise<Map<number, KnownDelivery>> {
  const rows = await tx.rows<KnownDelivery>(
    `SELECT d.id, d.event_seq AS seq, IF(d.status = 'open', 'open', 'ended') AS status,
       COALESCE((SELECT MAX(a.number) FROM attempts a WHERE a.delivery_id = d.id), 0) AS attempts
     FROM delivery_log d WHERE ${idIn(
       'd.event_seq',
       events.map(({ seq }) => seq),
     )} AND d.webhook_id = ? FOR UPDATE`,
    [webhookId],
  );
  return new Map(rows.map((row) => [row.seq, row]));
}

async function countBacklog(tx: Session, webhookId: number): Promise<number> {
  const [row] = await tx.rows<{ n: number }>(
    `SELECT COUNT(*) AS n FROM (SELECT 1 FROM queue FORCE INDEX (queue_due)
       WHERE state IN ('pending', 'waiting') AND webhook_id = ? LIMIT ${backlogDeliveries}) q`,
    [webhookId],
  );
  return row!.n;
}

function toLane(webhook: Subscription, { entityTable, entityKey }: EventRow): number | null {
  return webhook.order === 'none' ? null : laneOf(webhook.id, { table: entityTable, key: entityKey });
}

/** An event from the log; columns of the row that are not in its data are unknown. */
function toEvent(row: EventRow): DomainEvent {
  const { data } = parseExactJson(row.body) as { data: DomainEvent['data'] };
  return {
    id: row.eventId,
    type: row.type,
    occurredAtMs: fromSqlDatetime(row.occurredAt),
    entity: { table: row.entityTable, key: row.entityKey },
    subject: row.subject,
    body: row.body,
    data,
    column: () => undefined,
  };
}

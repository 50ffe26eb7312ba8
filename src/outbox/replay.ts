import { parseExactJson } from '../change/exact-json.ts';
import type { Session, Store } from '../db/client.ts';
import { idList } from '../db/sql-text.ts';
import { matchesFilter, matchesPattern } from '../event/subscription.ts';
import type { DomainEvent } from '../event/types.ts';
import { AppError } from '../lib/errors.ts';
import { claimVariables, insertDeliveries, insertQueue, type PlacedDelivery } from './append-statements.ts';
import { enterQueue } from './enter-queue.ts';
import { plan } from './fan-out.ts';
import { laneOf, storedKey } from './lane.ts';
import { momentMs, momentText, nullableMomentMs } from './moment.ts';
import { lanesInUse, lanesOf } from './queue-lanes.ts';
import { reopenStatements, type EndedDelivery } from './reopen.ts';
import type { Subscription } from './types.ts';

/** Which past events are to be sent again, to one webhook. */
export interface ReplayRequest {
  webhookId: number;
  /** Types or patterns; without them, all that the webhook subscribes to. */
  events?: readonly string[];
  entity?: { table: string; key: string };
  /** Commit time of the change: from (inclusive) and to (exclusive), ms UTC. */
  sinceMs: number;
  untilMs: number;
}

/** What a replay would do, to be shown before it begins. */
export interface ReplayPreview {
  /** At most so many: the webhook's filter and its deliveries under way are looked at event by event. */
  total: number;
  byType: { type: string; count: number }[];
}

export interface Replay extends ReplayRequest {
  id: number;
  requestedBy: string;
  reason: string;
  /** Deliveries a second that it puts into the queue at most; null for as fast as they are sent. */
  ratePerSecond: number | null;
  state: 'running' | 'done' | 'cancelled';
  total: number;
  queued: number;
  createdAtMs: number;
  finishedAtMs: number | null;
}

interface ReplayRow {
  id: number;
  webhook_id: number;
  events: string | null;
  entity_table: string | null;
  entity_key: string | null;
  since: string;
  until: string;
  requested_by: string;
  reason: string;
  rate_per_second: number | null;
  state: Replay['state'];
  next_seq: number;
  last_seq: number;
  total: number;
  queued: number;
  created_at: string;
  finished_at: string | null;
}

interface EventRow {
  seq: number;
  id: string;
  type: string;
  entityTable: string;
  entityKey: string;
  transactionId: string;
  occurredAt: string;
  body: string;
}

/** Events of the log that one step looks at, whether they match or not: it must be short. */
const windowEvents = 2_000;
/** A replay puts no more before new events than this many of the webhook's deliveries. */
const backlogDeliveries = 2_000;
const stepDeliveries = 500;

/** Counts what a replay would send. Throws AppError ERR_NOT_FOUND for a webhook that is not among `webhooks`. */
export async function previewReplay(
  session: Session,
  request: ReplayRequest,
  webhooks: readonly Subscription[],
): Promise<ReplayPreview> {
  const wanted = wantedTypes(request, findWebhook(webhooks, request.webhookId));
  const { text, values } = eventConditions(request);
  const rows = await session.rows<{ type: string; count: number }>(
    `SELECT e.type, COUNT(*) AS count FROM event_log e WHERE ${text} GROUP BY e.type ORDER BY e.type`,
    values,
  );
  const byType = rows.filter(({ type }) => wanted(type));
  return { total: byType.reduce((sum, { count }) => sum + count, 0), byType };
}

/** Puts a replay on record; `stepReplay` does it. It ends with the last event that there is now. Throws as `previewReplay`. */
export async function createReplay(
  store: Store,
  request: ReplayRequest & Pick<Replay, 'requestedBy' | 'reason' | 'ratePerSecond'>,
  webhooks: readonly Subscription[],
): Promise<{ id: number; total: number }> {
  const { total } = await previewReplay(store, request, webhooks);
  const { text, values } = eventConditions(request);
  const [range] = await store.rows<{ first: number | null; last: number | null }>(
    `SELECT MIN(e.seq) AS first, MAX(e.seq) AS last FROM event_log e WHERE ${text}`,
    values,
  );
  const { webhookId, events, entity, sinceMs, untilMs, requestedBy, reason, ratePerSecond } = request;
  const { insertId } = await store.run(
    `INSERT INTO replays (webhook_id, events, entity_table, entity_key, since, until, requested_by, reason,
       rate_per_second, next_seq, last_seq, total) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      ...[webhookId, events === undefined ? null : JSON.stringify(events), entity?.table ?? null],
      ...[entity === undefined ? null : storedKey(entity.key), momentText(sinceMs), momentText(untilMs)],
      ...[requestedBy, reason, ratePerSecond, range!.first ?? 1, range!.last ?? 0, total],
    ],
  );
  return { id: insertId, total };
}

export async function listReplays(session: Session, limit = 100): Promise<Replay[]> {
  const rows = await session.rows<ReplayRow>('SELECT * FROM replays ORDER BY id DESC LIMIT ?', [limit]);
  return rows.map(toReplay);
}

/** Throws AppError ERR_NOT_FOUND. */
export async function getReplay(session: Session, id: number): Promise<Replay> {
  const [row] = await session.rows<ReplayRow>('SELECT * FROM replays WHERE id = ?', [id]);
  if (!row) throw new AppError('ERR_NOT_FOUND', `there is no replay ${id}`);
  return toReplay(row);
}

/** Ends a replay; what it has put into the queue is still sent. Returns whether it was running. */
export async function cancelReplay(session: Session, id: number): Promise<boolean> {
  const { affectedRows } = await session.run(
    "UPDATE replays SET state = 'cancelled', finished_at = UTC_TIMESTAMP(3) WHERE id = ? AND state = 'running'",
    [id],
  );
  return affectedRows === 1;
}

/** Ids of the replays that go on, also after a restart. */
export async function listRunningReplays(session: Session): Promise<number[]> {
  const rows = await session.rows<{ id: number }>(
    "SELECT id FROM replays WHERE state = 'running' ORDER BY id",
  );
  return rows.map(({ id }) => id);
}

export interface ReplayStep {
  /** Deliveries that the step put into the queue. */
  queued: number;
  /** When the next step is worth its while, ms; null when the replay has ended. */
  waitMs: number | null;
}

/**
 * Goes on with a replay for one bounded transaction. It keeps the webhook's queue short, so that new events are not far
 * behind; of several processes that try, one steps and the others are told to wait.
 */
export async function stepReplay(
  store: Store,
  id: number,
  webhooks: readonly Subscription[],
): Promise<ReplayStep> {
  return store.transaction(async (tx) => {
    const [row] = await tx.rows<ReplayRow>(
      "SELECT * FROM replays WHERE id = ? AND state = 'running' FOR UPDATE SKIP LOCKED",
      [id],
    );
    if (!row) return { queued: 0, waitMs: null };
    const webhook = webhooks.find((candidate) => candidate.id === row.webhook_id);
    if (!webhook) {
      await cancelReplay(tx, id);
      return { queued: 0, waitMs: null };
    }
    const room = Math.min(stepDeliveries, backlogDeliveries - (await countBacklog(tx, webhook.id)));
    if (room <= 0) return { queued: 0, waitMs: 250 };
    const limit =
      row.rate_per_second === null ? room : Math.min(room, Math.max(1, Math.floor(row.rate_per_second)));
    const { queued, nextSeq } = await queueWindow(tx, { row, webhook, limit });
    const done = nextSeq > row.last_seq;
    await tx.run(
      `UPDATE replays SET next_seq = ?, queued = queued + ?${done ? ", state = 'done', finished_at = UTC_TIMESTAMP(3)" : ''}
       WHERE id = ?`,
      [nextSeq, queued, id],
    );
    if (done) return { queued, waitMs: null };
    return { queued, waitMs: row.rate_per_second === null ? 0 : (queued * 1_000) / row.rate_per_second };
  });
}

interface Window {
  row: ReplayRow;
  webhook: Subscription;
  limit: number;
}

async function queueWindow(
  tx: Session,
  { row, webhook, limit }: Window,
): Promise<{ queued: number; nextSeq: number }> {
  const endSeq = Math.min(row.next_seq + windowEvents, row.last_seq + 1);
  const request = toReplay(row);
  const { text, values } = eventConditions(request);
  const wanted = wantedTypes(request, webhook);
  const candidates = await tx.rows<EventRow>(
    `SELECT e.seq, e.id, e.type, e.entity_table AS entityTable, e.entity_key AS entityKey,
       e.transaction_id AS transactionId, e.occurred_at AS occurredAt, e.body
     FROM event_log e FORCE INDEX (PRIMARY) WHERE e.seq >= ? AND e.seq < ? AND ${text} ORDER BY e.seq`,
    [row.next_seq, endSeq, ...values],
  );
  const events = candidates.filter(({ type }) => wanted(type));
  const kept = events.slice(0, limit);
  const nextSeq = events.length > limit ? kept.at(-1)!.seq + 1 : endSeq;
  if (kept.length === 0) return { queued: 0, nextSeq };
  return { queued: await queueEvents(tx, kept, webhook), nextSeq };
}

/** What has ended is opened again, what is under way is left alone, and what never was becomes a delivery. */
function queueEvents(tx: Session, events: readonly EventRow[], webhook: Subscription): Promise<number> {
  return enterQueue(tx, async ({ deliveryId }) => {
    const known = await knownDeliveries(tx, events, webhook.id);
    const ended = events.flatMap((event): EndedDelivery[] => {
      const delivery = known.get(event.seq);
      if (delivery?.status !== 'ended') return [];
      const { id, attempts } = delivery;
      return [{ id, attempts, webhookId: webhook.id, eventSeq: event.seq, lane: toLane(webhook, event) }];
    });
    const reopened = await reopenStatements(tx, ended);
    const created = await place(tx, {
      events: events.filter(({ seq }) => !known.has(seq)),
      webhook,
      deliveryId,
      alsoHeld: lanesOf(ended),
    });
    const rows = created.map(({ id, webhookId, of, lane, state }) => ({
      id,
      webhookId,
      eventSeq: of.seq,
      lane,
      state,
    }));
    const queued = ended.length + created.length;
    return {
      statements:
        queued === 0
          ? []
          : [claimVariables(0), ...reopened, ...insertDeliveries(created), ...insertQueue(rows, '')],
      events: 0,
      deliveries: created.length,
      result: queued,
    };
  });
}

interface Placing {
  events: readonly EventRow[];
  webhook: Subscription;
  deliveryId: number;
  alsoHeld: ReadonlySet<number>;
}

async function place(
  tx: Session,
  { events, webhook, deliveryId, alsoHeld }: Placing,
): Promise<PlacedDelivery[]> {
  const matching = events
    .map((row) => ({ seq: row.seq, event: toEvent(row), transactionId: row.transactionId }))
    .filter(({ event }) => webhook.filter === null || matchesFilter(webhook.filter, event));
  const planned = matching.map((of) => ({ ...plan(webhook, of.event), of }));
  const held = new Set([...(await lanesInUse(tx, lanesOf(planned))), ...alsoHeld]);
  return planned.map((delivery, index) => {
    const { lane } = delivery;
    const free = lane === null || !held.has(lane);
    if (lane !== null) held.add(lane);
    return { ...delivery, id: deliveryId + index, state: free ? 'pending' : 'waiting' };
  });
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
     FROM delivery_log d WHERE d.event_seq IN (${idList(events.map(({ seq }) => seq))}) AND d.webhook_id = ? FOR UPDATE`,
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

/** Events that are visible and still have their payload. */
function eventConditions({ sinceMs, untilMs, entity }: ReplayRequest): { text: string; values: unknown[] } {
  const always = `e.occurred_at >= ? AND e.occurred_at < ? AND e.body IS NOT NULL
    AND e.staging < (SELECT c.staging FROM checkpoint c WHERE c.id = 1)`;
  const values = [momentText(sinceMs), momentText(untilMs)];
  if (entity === undefined) return { text: always, values };
  return {
    text: `${always} AND e.entity_table = ? AND e.entity_key = ?`,
    values: [...values, entity.table, storedKey(entity.key)],
  };
}

function wantedTypes({ events }: ReplayRequest, webhook: Subscription): (type: string) => boolean {
  const patterns = events ?? webhook.events;
  return (type) =>
    patterns.some((pattern) => matchesPattern(pattern, type)) &&
    webhook.events.some((pattern) => matchesPattern(pattern, type));
}

function findWebhook(webhooks: readonly Subscription[], id: number): Subscription {
  const webhook = webhooks.find((candidate) => candidate.id === id);
  if (!webhook) throw new AppError('ERR_NOT_FOUND', `there is no webhook ${id}`);
  return webhook;
}

function toLane(webhook: Subscription, { entityTable, entityKey }: EventRow): number | null {
  return webhook.order === 'none' ? null : laneOf(webhook.id, { table: entityTable, key: entityKey });
}

/** An event as the log has it: the row's columns that are not in its data are gone. */
function toEvent(row: EventRow): DomainEvent {
  const { data } = parseExactJson(row.body) as { data: DomainEvent['data'] };
  return {
    id: row.id,
    type: row.type,
    occurredAtMs: momentMs(row.occurredAt),
    entity: { table: row.entityTable, key: row.entityKey },
    body: row.body,
    data,
    column: () => undefined,
  };
}

function toReplay(row: ReplayRow): Replay {
  return {
    id: row.id,
    webhookId: row.webhook_id,
    ...(row.events === null ? {} : { events: JSON.parse(row.events) as string[] }),
    ...(row.entity_table === null || row.entity_key === null
      ? {}
      : { entity: { table: row.entity_table, key: row.entity_key } }),
    sinceMs: momentMs(row.since),
    untilMs: momentMs(row.until),
    requestedBy: row.requested_by,
    reason: row.reason,
    ratePerSecond: row.rate_per_second,
    state: row.state,
    total: row.total,
    queued: row.queued,
    createdAtMs: momentMs(row.created_at),
    finishedAtMs: nullableMomentMs(row.finished_at),
  };
}

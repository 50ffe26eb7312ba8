import type { Session, Store } from '../../db/connection/client.ts';
import { parseStored, storedText } from '../../db/proof/stored-json.ts';
import { matchesPattern } from '../../event/subscription.ts';
import { AppError } from '../../lib/errors.ts';
import { storedKey } from '../append/lane.ts';
import { fromSqlDatetime, toSqlDatetime, fromNullableSqlDatetime } from '../sql-datetime.ts';
import type { Subscription } from '../types.ts';

/** Selects the past events to send again to one webhook. */
export interface ReplayRequest {
  webhookId: number;
  /** Types or patterns; default: everything that the webhook subscribes to. */
  events?: readonly string[];
  entity?: { table: string; key: string };
  /** Commit time of the change: from (inclusive) and to (exclusive), ms UTC. */
  sinceMs: number;
  untilMs: number;
  /** Only exhausted deliveries: for the recovery after an outage. */
  exhaustedOnly?: boolean;
  /** Only events that were never queued for this webhook. */
  missedOnly?: boolean;
}

/** What a replay would send, shown before it begins. */
export interface ReplayPreview {
  /** An upper bound: the webhook's filter and its deliveries in progress are checked event by event. */
  total: number;
  byType: { type: string; count: number }[];
}

export interface Replay extends ReplayRequest {
  id: number;
  requestedBy: string;
  reason: string;
  /** Maximum number of deliveries that it queues a second; null for as fast as they are sent. */
  ratePerSecond: number | null;
  state: 'running' | 'done' | 'cancelled';
  total: number;
  queued: number;
  createdAtMs: number;
  finishedAtMs: number | null;
}

/** A row of `replays`. */
export interface ReplayRow {
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
  exhausted_only: number;
  missed_only: number;
  state: Replay['state'];
  next_seq: number;
  last_seq: number;
  total: number;
  queued: number;
  created_at: string;
  finished_at: string | null;
}

/** A part of the log, by seq: from (inclusive) to (exclusive); null while its end is not known. */
interface Range {
  from: number;
  to: number | null;
}

const wholeLog: Range = { from: 1, to: null };

/** The last event of a replay whose end is not known yet. */
export const openEnd = Number.MAX_SAFE_INTEGER;

/** Counts what a replay would send. Throws AppError ERR_NOT_FOUND for a webhook that is not among `webhooks`. */
export async function previewReplay(
  session: Session,
  request: ReplayRequest,
  webhooks: readonly Subscription[],
  range: Range = wholeLog,
): Promise<ReplayPreview> {
  const wanted = wantedTypes(request, findWebhook(webhooks, request.webhookId));
  const { text, values } = eventConditions(request, range);
  const rows = await session.rows<{ type: string; count: number }>(
    `SELECT e.type, COUNT(*) AS count FROM event_log e WHERE ${text} GROUP BY e.type ORDER BY e.type`,
    values,
  );
  const byType = rows.filter(({ type }) => wanted(type));
  return { total: byType.reduce((sum, { count }) => sum + count, 0), byType };
}

interface NewReplay extends ReplayRequest, Pick<Replay, 'requestedBy' | 'reason' | 'ratePerSecond'> {
  /** For missed events. While the end is unknown, the replay ends with the last missed event. */
  range?: Range;
}

/** Records a replay, which `stepReplay` executes. It ends with the last present event. `record`
 * writes into the same transaction. Throws as `previewReplay`. */
export async function createReplay(
  store: Store,
  request: NewReplay,
  webhooks: readonly Subscription[],
  record?: (tx: Session, id: number, total: number) => Promise<void>,
): Promise<{ id: number; total: number }> {
  const { range } = request;
  const { total } = await previewReplay(store, request, webhooks, range);
  const { text, values } = eventConditions(request);
  const [found] = await store.rows<{ first: number | null; last: number | null }>(
    `SELECT MIN(e.seq) AS first, MAX(e.seq) AS last FROM event_log e WHERE ${text}`,
    values,
  );
  const { webhookId, events, entity, sinceMs, untilMs, requestedBy, reason, ratePerSecond } = request;
  return store.transaction(async (tx) => {
    const { insertId } = await tx.run(
      `INSERT INTO replays (webhook_id, events, entity_table, entity_key, since, until, requested_by, reason,
       rate_per_second, exhausted_only, missed_only, next_seq, last_seq, total)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        ...[
          webhookId,
          events === undefined ? null : storedText('replays.events', events),
          entity?.table ?? null,
        ],
        ...[
          entity === undefined ? null : storedKey(entity.key),
          toSqlDatetime(sinceMs),
          toSqlDatetime(untilMs),
        ],
        ...[requestedBy, reason, ratePerSecond, request.exhaustedOnly ?? false, request.missedOnly ?? false],
        ...(range === undefined
          ? [found!.first ?? 1, found!.last ?? 0]
          : [range.from, range.to === null ? openEnd : range.to - 1]),
        total,
      ],
    );
    await record?.(tx, insertId, total);
    return { id: insertId, total };
  });
}

/** Newest first, starting below the id `cursor`. */
export async function listReplays(
  session: Session,
  { limit, cursor = Number.MAX_SAFE_INTEGER }: { limit: number; cursor?: number },
): Promise<Replay[]> {
  const rows = await session.rows<ReplayRow>('SELECT * FROM replays WHERE id < ? ORDER BY id DESC LIMIT ?', [
    cursor,
    limit,
  ]);
  return rows.map(toReplay);
}

/** Throws AppError ERR_NOT_FOUND. */
export async function getReplay(session: Session, id: number): Promise<Replay> {
  const [row] = await session.rows<ReplayRow>('SELECT * FROM replays WHERE id = ?', [id]);
  if (!row) throw new AppError('ERR_NOT_FOUND', `there is no replay ${id}`);
  return toReplay(row);
}

/** Ends a replay; deliveries that it has queued are still sent. Returns whether it was running. */
export async function endReplay(session: Session, id: number): Promise<boolean> {
  const { affectedRows } = await session.run(
    "UPDATE replays SET state = 'cancelled', finished_at = UTC_TIMESTAMP(3) WHERE id = ? AND state = 'running'",
    [id],
  );
  return affectedRows === 1;
}

/** An operator ends it: if it was running, `record` writes in the same transaction. Throws AppError ERR_NOT_FOUND. */
export async function cancelReplay(
  store: Store,
  id: number,
  record?: (tx: Session, id: number) => Promise<void>,
): Promise<boolean> {
  await getReplay(store, id);
  return store.transaction(async (tx) => {
    const wasRunning = await endReplay(tx, id);
    if (wasRunning) await record?.(tx, id);
    return wasRunning;
  });
}

/** Ids of the unfinished replays, also after a restart. */
export async function listRunningReplays(session: Session): Promise<number[]> {
  const rows = await session.rows<{ id: number }>(
    "SELECT id FROM replays WHERE state = 'running' ORDER BY id",
  );
  return rows.map(({ id }) => id);
}

/** Visible events that still have their payload. */
export function eventConditions(
  request: ReplayRequest,
  { from, to }: Range = wholeLog,
): { text: string; values: unknown[] } {
  const { sinceMs, untilMs, entity } = request;
  const conditions = [
    'e.occurred_at >= ? AND e.occurred_at < ? AND e.body IS NOT NULL',
    'e.staging < (SELECT c.staging FROM checkpoint c WHERE c.id = 1)',
  ];
  const values: unknown[] = [toSqlDatetime(sinceMs), toSqlDatetime(untilMs)];
  if (entity !== undefined) {
    conditions.push('e.entity_table = ? AND e.entity_key = ?');
    values.push(entity.table, storedKey(entity.key));
  }
  if (request.exhaustedOnly) {
    conditions.push(
      "EXISTS (SELECT 1 FROM delivery_log d WHERE d.event_seq = e.seq AND d.webhook_id = ? AND d.status = 'exhausted')",
    );
    values.push(request.webhookId);
  }
  if (request.missedOnly) {
    conditions.push(
      'NOT EXISTS (SELECT 1 FROM delivery_log d WHERE d.event_seq = e.seq AND d.webhook_id = ?)',
    );
    values.push(request.webhookId);
  }
  if (from > wholeLog.from) {
    conditions.push('e.seq >= ?');
    values.push(from);
  }
  if (to !== null) {
    conditions.push('e.seq < ?');
    values.push(to);
  }
  return { text: conditions.join(' AND '), values };
}

/** Whether a type is requested and the webhook subscribes to it. */
export function wantedTypes({ events }: ReplayRequest, webhook: Subscription): (type: string) => boolean {
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

export function toReplay(row: ReplayRow): Replay {
  return {
    id: row.id,
    webhookId: row.webhook_id,
    ...(row.events === null ? {} : { events: parseStored('replays.events', row.events, row.id) as string[] }),
    ...(row.entity_table === null || row.entity_key === null
      ? {}
      : { entity: { table: row.entity_table, key: row.entity_key } }),
    sinceMs: fromSqlDatetime(row.since),
    untilMs: fromSqlDatetime(row.until),
    exhaustedOnly: row.exhausted_only === 1,
    missedOnly: row.missed_only === 1,
    requestedBy: row.requested_by,
    reason: row.reason,
    ratePerSecond: row.rate_per_second,
    state: row.state,
    total: row.total,
    queued: row.queued,
    createdAtMs: fromSqlDatetime(row.created_at),
    finishedAtMs: fromNullableSqlDatetime(row.finished_at),
  };
}

import type { Session } from '../db/client.ts';
import { AppError } from '../lib/errors.ts';
import { storedKey } from './lane.ts';
import { momentMs, momentText, nullableMomentMs } from './moment.ts';

export type DeliveryStatus = 'pending' | 'waiting' | 'sending' | 'delivered' | 'exhausted';

export interface DeliveryFilter {
  /** An event type, or `noun.*`. */
  eventType?: string;
  eventId?: string;
  webhookId?: number;
  status?: DeliveryStatus;
  /** The entity of the event; without a table, the key in any table. */
  entity?: { table?: string; key: string };
  /** Commit time of the change: from (inclusive) and to (exclusive), ms UTC. */
  sinceMs?: number;
  untilMs?: number;
}

/** One delivery as people see it, without its payload. */
export interface DeliveryRecord {
  id: number;
  webhookId: number;
  /** Kept after the webhook was deleted. */
  webhookName: string | null;
  eventId: string;
  eventType: string;
  entity: { table: string; key: string };
  status: DeliveryStatus;
  responseStatus: number | null;
  retryCount: number;
  occurredAtMs: number;
  createdAtMs: number;
  deliveredAtMs: number | null;
  failedAtMs: number | null;
  nextAttemptAtMs: number | null;
}

export interface AttemptRecord {
  number: number;
  startedAtMs: number;
  durationMs: number;
  outcome: 'delivered' | 'rejected' | 'gone' | 'failed' | 'forbidden' | 'lost';
  responseStatus: number | null;
  reason: string | null;
}

export interface DeliveryDetail extends DeliveryRecord {
  transactionId: string;
  /** The bytes that are sent; null once pruned or erased. */
  payload: string | null;
  /** The beginning of the last answer. */
  responseBody: string | null;
  attempts: AttemptRecord[];
}

export interface Page<T> {
  items: T[];
  /** Where the next page begins; null after the last. */
  nextCursor: number | null;
}

interface DeliveryRow {
  id: number;
  webhookId: number;
  webhookName: string | null;
  eventId: string;
  eventType: string;
  entityTable: string;
  entityKey: string;
  status: DeliveryStatus;
  responseStatus: number | null;
  retryCount: number;
  occurredAt: string;
  createdAt: string;
  deliveredAt: string | null;
  failedAt: string | null;
  nextAttemptAt: string | null;
}

interface Condition {
  text: string;
  values: unknown[];
}

const columns = `d.id, d.webhook_id AS webhookId, w.name AS webhookName, e.id AS eventId, e.type AS eventType,
  e.entity_table AS entityTable, e.entity_key AS entityKey,
  COALESCE(q.state, IF(d.status = 'open', 'pending', d.status)) AS status,
  d.response_status AS responseStatus, d.retry_count AS retryCount, e.occurred_at AS occurredAt,
  d.created_at AS createdAt, d.delivered_at AS deliveredAt, d.failed_at AS failedAt,
  IF(q.state = 'pending', q.due_at, NULL) AS nextAttemptAt`;

/** Of a staged transaction nothing is shown before all of it is. */
const visible = 'e.staging < (SELECT c.staging FROM checkpoint c WHERE c.id = 1)';

/**
 * Deliveries, newest first. The cursor is the last id of a page: rows that arrive meanwhile come before the first page and
 * move none of the later ones.
 */
export async function listDeliveries(
  session: Session,
  filter: DeliveryFilter,
  { cursor, limit }: { cursor?: number; limit: number },
): Promise<Page<DeliveryRecord>> {
  const conditions = await toConditions(session, filter);
  if (cursor !== undefined) conditions.push({ text: 'd.id < ?', values: [cursor] });
  const rows = await session.rows<DeliveryRow>(
    `SELECT ${columns} ${fromWhere(filter, conditions)} ORDER BY d.id DESC LIMIT ?`,
    [...conditions.flatMap(({ values }) => values), limit + 1],
  );
  const items = rows.slice(0, limit).map(toRecord);
  return { items, nextCursor: rows.length > limit ? items.at(-1)!.id : null };
}

export async function countDeliveries(session: Session, filter: DeliveryFilter): Promise<number> {
  const conditions = await toConditions(session, filter);
  const [row] = await session.rows<{ n: number }>(
    `SELECT COUNT(*) AS n ${fromWhere(filter, conditions)}`,
    conditions.flatMap(({ values }) => values),
  );
  return row!.n;
}

/** One delivery with its payload and its attempts, oldest first. Throws AppError ERR_NOT_FOUND. */
export async function getDelivery(session: Session, id: number): Promise<DeliveryDetail> {
  type DetailRow = DeliveryRow & Pick<DeliveryDetail, 'payload' | 'responseBody' | 'transactionId'>;
  const byId = { text: 'd.id = ?', values: [id] };
  const [row] = await session.rows<DetailRow>(
    `SELECT ${columns}, COALESCE(d.payload, e.body) AS payload, d.response_body AS responseBody,
       e.transaction_id AS transactionId ${fromWhere({}, [byId])}`,
    byId.values,
  );
  if (!row) throw new AppError('ERR_NOT_FOUND', `there is no delivery ${id}`);
  const { payload, responseBody, transactionId } = row;
  return {
    ...toRecord(row),
    transactionId,
    payload,
    responseBody,
    attempts: await listAttempts(session, id),
  };
}

async function listAttempts(session: Session, deliveryId: number): Promise<AttemptRecord[]> {
  const rows = await session.rows<Omit<AttemptRecord, 'startedAtMs'> & { startedAt: string }>(
    `SELECT number, started_at AS startedAt, duration_ms AS durationMs, outcome, response_status AS responseStatus, reason
     FROM attempts WHERE delivery_id = ? ORDER BY id`,
    [deliveryId],
  );
  return rows.map(({ startedAt, ...attempt }) => ({ ...attempt, startedAtMs: momentMs(startedAt) }));
}

function fromWhere({ status }: DeliveryFilter, conditions: readonly Condition[]): string {
  const queued = status !== undefined && isQueueState(status);
  return `FROM delivery_log d JOIN event_log e ON e.seq = d.event_seq
    ${queued ? '' : 'LEFT'} JOIN queue q ON q.delivery_id = d.id LEFT JOIN webhooks w ON w.id = d.webhook_id
    WHERE ${[visible, ...conditions.map(({ text }) => text)].join(' AND ')}`;
}

function isQueueState(status: DeliveryStatus): boolean {
  return status === 'pending' || status === 'waiting' || status === 'sending';
}

async function toConditions(session: Session, filter: DeliveryFilter): Promise<Condition[]> {
  const conditions: Condition[] = [];
  const add = (text: string, ...values: unknown[]) => conditions.push({ text, values });
  const { eventType, eventId, webhookId, status, entity, sinceMs, untilMs } = filter;
  if (eventType?.endsWith('.*')) add('e.type LIKE ?', `${escapeLike(eventType.slice(0, -1))}%`);
  else if (eventType !== undefined && eventType !== '*') add('e.type = ?', eventType);
  if (eventId !== undefined) add('e.id = ?', eventId);
  if (webhookId !== undefined) add('d.webhook_id = ?', webhookId);
  if (sinceMs !== undefined) add('e.occurred_at >= ?', momentText(sinceMs));
  if (untilMs !== undefined) add('e.occurred_at < ?', momentText(untilMs));
  if (status === 'exhausted') add('d.exhausted_at IS NOT NULL');
  else if (status === 'delivered') add("d.status = 'delivered'");
  else if (status !== undefined) add('q.state = ?', status);
  if (entity !== undefined) {
    // The index begins with the table; there are only as many as the rules name.
    const tables = entity.table === undefined ? await entityTables(session) : [entity.table];
    add(
      'e.entity_table IN (?) AND e.entity_key = ?',
      tables.length === 0 ? [null] : tables,
      storedKey(entity.key),
    );
  }
  return conditions;
}

async function entityTables(session: Session): Promise<string[]> {
  const rows = await session.rows<{ name: string }>('SELECT DISTINCT entity_table AS name FROM event_log');
  return rows.map(({ name }) => name);
}

function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}

function toRecord(row: DeliveryRow): DeliveryRecord {
  return {
    id: row.id,
    webhookId: row.webhookId,
    webhookName: row.webhookName,
    eventId: row.eventId,
    eventType: row.eventType,
    entity: { table: row.entityTable, key: row.entityKey },
    status: row.status,
    responseStatus: row.responseStatus,
    retryCount: row.retryCount,
    occurredAtMs: momentMs(row.occurredAt),
    createdAtMs: momentMs(row.createdAt),
    deliveredAtMs: nullableMomentMs(row.deliveredAt),
    failedAtMs: nullableMomentMs(row.failedAt),
    nextAttemptAtMs: nullableMomentMs(row.nextAttemptAt),
  };
}

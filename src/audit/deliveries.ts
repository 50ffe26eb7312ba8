import type { Session } from '../db/connection/client.ts';
import { AppError } from '../lib/errors.ts';
import { maskUrl } from '../lib/mask-url.ts';
import { storedKey } from '../outbox/append/lane.ts';
import { fromSqlDatetime, toSqlDatetime, fromNullableSqlDatetime } from '../outbox/sql-datetime.ts';
import { openPayloads, textOf, type StoredPayload } from '../outbox/payload/payloads.ts';
import { matchWord, toPage, whereAll, type Condition, type Page, type Paging } from './page.ts';
import type { EncryptedStore } from '../db/connection/encrypted-store.ts';

export const deliveryStatuses = ['pending', 'waiting', 'sending', 'delivered', 'exhausted'] as const;
export type DeliveryStatus = (typeof deliveryStatuses)[number];

/** Statuses by which lists can be filtered: `failed` matches every delivery whose last attempt failed, exhausted or not. */
export const statusFilters = [...deliveryStatuses, 'failed'] as const;
export type StatusFilter = (typeof statusFilters)[number];

export interface DeliveryFilter {
  /** An event type, `noun.*`, or `*` for all. */
  event?: string;
  webhookId?: number;
  status?: StatusFilter;
  /** The row that changed. */
  entity?: { table: string; key: string };
  /** The patient whose data it carried. */
  patient?: string;
  /** Commit time of the change: from (inclusive) and to (exclusive), ms UTC. */
  sinceMs?: number;
  untilMs?: number;
}

/** One delivery as shown to people, without its payload. */
export interface DeliveryRecord {
  id: number;
  webhookId: number;
  /**
   * Name and URL that the last attempt was sent to; before the first attempt, the present ones of the webhook. The URL is null where
   * version f84be48 did not record it.
   */
  webhookName: string | null;
  webhookUrl: string | null;
  eventId: string;
  eventType: string;
  entity: { table: string; key: string };
  patient: string | null;
  status: DeliveryStatus;
  responseStatus: number | null;
  /** Why the last attempt failed, in words; null for a success, and for attempts from before explanations were recorded. */
  explanation: string | null;
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
  /** Why the attempt failed, in words; null for a success, and for attempts from before explanations were recorded. */
  explanation: string | null;
  /** Name and URL that the attempt was sent to; null if nothing was sent, and in attempts of version f84be48. */
  receiver: Receiver | null;
}

export interface Receiver {
  name: string;
  url: string;
}

export interface DeliveryDetail extends DeliveryRecord {
  transactionId: string;
  /** The bytes of the request body; null once pruned or erased. */
  payload: string | null;
  /** The beginning of the last response body. */
  responseBody: string | null;
  attempts: AttemptRecord[];
}

/** What one delivery disclosed to a receiver about a patient. */
export interface AccessRecord extends DeliveryRecord {
  /** Fields of data that were sent; null once the payload is gone. */
  fields: string[] | null;
  /** Every distinct receiver of its attempts. */
  receivers: Receiver[];
}

type Moment = 'occurredAt' | 'createdAt';
type NullableMoment = 'deliveredAt' | 'failedAt' | 'nextAttemptAt';

type DeliveryRow = Omit<DeliveryRecord, 'entity' | `${Moment | NullableMoment}Ms`> & {
  entityTable: string;
  entityKey: string;
} & Record<Moment, string> &
  Record<NullableMoment, string | null>;

const columns = `d.id, d.webhook_id AS webhookId, COALESCE(r.name, w.name) AS webhookName,
  IF(l.id IS NULL, w.url, r.url) AS webhookUrl, e.id AS eventId,
  e.type AS eventType, e.entity_table AS entityTable, e.entity_key AS entityKey, e.subject AS patient,
  COALESCE(q.state, IF(d.status = 'open', 'pending', d.status)) AS status,
  d.response_status AS responseStatus, l.explanation, d.retry_count AS retryCount, e.occurred_at AS occurredAt,
  d.created_at AS createdAt, d.delivered_at AS deliveredAt, d.failed_at AS failedAt,
  IF(q.state = 'pending', q.due_at, NULL) AS nextAttemptAt`;

const joins = `FROM delivery_log d JOIN event_log e ON e.seq = d.event_seq
  LEFT JOIN queue q ON q.delivery_id = d.id LEFT JOIN webhooks w ON w.id = d.webhook_id
  LEFT JOIN attempts l ON l.id = (SELECT MAX(a.id) FROM attempts a WHERE a.delivery_id = d.id)
  LEFT JOIN receivers r ON r.id = l.receiver`;

const countJoins = `FROM delivery_log d JOIN event_log e ON e.seq = d.event_seq
  LEFT JOIN queue q ON q.delivery_id = d.id`;

/** A staged transaction is shown only when all of it is stored. */
const visible: Condition = ['e.staging < (SELECT c.staging FROM checkpoint c WHERE c.id = 1)'];

/** Lists deliveries, newest first. */
export async function listDeliveries(
  session: Session,
  filter: DeliveryFilter,
  { cursor, limit }: Paging,
): Promise<Page<DeliveryRecord>> {
  const conditions = toConditions(filter);
  if (cursor !== undefined) conditions.push(['d.id < ?', cursor]);
  const { where, values } = whereAll(conditions);
  const rows = await session.rows<DeliveryRow>(
    `SELECT ${columns} ${joins} ${where} ORDER BY d.id DESC LIMIT ?`,
    [...values, limit + 1],
  );
  return toPage(rows.map(toRecord), limit);
}

export async function countDeliveries(session: Session, filter: DeliveryFilter): Promise<number> {
  const { where, values } = whereAll(toConditions(filter));
  const [row] = await session.rows<{ n: number }>(`SELECT COUNT(*) AS n ${countJoins} ${where}`, values);
  return row!.n;
}

/** Returns one delivery with its payload and its attempts, oldest first. Throws AppError ERR_NOT_FOUND. */
export async function getDelivery({ store, cipher }: EncryptedStore, id: number): Promise<DeliveryDetail> {
  type DetailRow = DeliveryRow &
    Pick<DeliveryDetail, 'payload' | 'responseBody' | 'transactionId'> & { eventSeq: number };
  const { where, values } = whereAll([visible, ['d.id = ?', id]]);
  const [row] = await store.rows<DetailRow>(
    `SELECT ${columns}, COALESCE(d.payload, e.body) AS payload, d.response_body AS responseBody,
       e.transaction_id AS transactionId, e.seq AS eventSeq ${joins} ${where}`,
    values,
  );
  if (!row) throw new AppError('ERR_NOT_FOUND', `there is no delivery ${id}`);
  const { eventId, eventSeq, patient: subject, transactionId } = row;
  const stored = [row.payload, row.responseBody].map((payload) => ({ eventId, eventSeq, subject, payload }));
  const [payload, responseBody] = await openPayloads(store, cipher, stored);
  return {
    ...toRecord(row),
    transactionId,
    payload: textOf(payload),
    responseBody: textOf(responseBody),
    attempts: await listAttempts(store, id),
  };
}

/** Lists every delivery that carried the patient's data, with its receivers and the fields that were sent, newest first. */
export async function listAccess(
  { store, cipher }: EncryptedStore,
  { patient, ...period }: { patient: string } & Pick<DeliveryFilter, 'sinceMs' | 'untilMs'>,
  paging: Paging,
): Promise<Page<AccessRecord>> {
  const { items, nextCursor } = await listDeliveries(store, { patient, ...period }, paging);
  if (items.length === 0) return { items: [], nextCursor };
  const rows = await store.rows<StoredPayload & { id: number }>(
    `SELECT d.id, e.id AS eventId, e.seq AS eventSeq, e.subject, COALESCE(d.payload, e.body) AS payload FROM delivery_log d JOIN event_log e ON e.seq = d.event_seq
     WHERE d.id IN (?)`,
    [items.map(({ id }) => id)],
  );
  const opened = await openPayloads(store, cipher, rows);
  const fields = new Map(rows.map(({ id }, index) => [id, fieldsOf(textOf(opened[index]))]));
  const receivers = await readReceivers(
    store,
    items.map(({ id }) => id),
  );
  return {
    items: items.map((item) => ({
      ...item,
      fields: fields.get(item.id) ?? null,
      receivers: receivers.get(item.id) ?? [],
    })),
    nextCursor,
  };
}

async function readReceivers(
  session: Session,
  deliveries: readonly number[],
): Promise<Map<number, Receiver[]>> {
  const rows = await session.rows<Receiver & { delivery: number }>(
    `SELECT DISTINCT a.delivery_id AS delivery, r.name, r.url FROM attempts a JOIN receivers r ON r.id = a.receiver
     WHERE a.delivery_id IN (?) ORDER BY a.delivery_id, r.url, r.name`,
    [deliveries],
  );
  const receivers = new Map<number, Receiver[]>();
  for (const { delivery, name, url } of rows)
    receivers.set(delivery, [...(receivers.get(delivery) ?? []), { name, url: maskUrl(url) }]);
  return receivers;
}

function fieldsOf(payload: string | null): string[] | null {
  if (payload === null) return null;
  return Object.keys((JSON.parse(payload) as { data: object }).data);
}

async function listAttempts(session: Session, deliveryId: number): Promise<AttemptRecord[]> {
  type Row = Omit<AttemptRecord, 'startedAtMs' | 'receiver'> & {
    startedAt: string;
    name: string | null;
    url: string | null;
  };
  const rows = await session.rows<Row>(
    `SELECT a.number, a.started_at AS startedAt, a.duration_ms AS durationMs, a.outcome,
       a.response_status AS responseStatus, a.reason, a.explanation, r.name, r.url
     FROM attempts a LEFT JOIN receivers r ON r.id = a.receiver WHERE a.delivery_id = ? ORDER BY a.id`,
    [deliveryId],
  );
  return rows.map(({ startedAt, name, url, ...attempt }) => ({
    ...attempt,
    startedAtMs: fromSqlDatetime(startedAt),
    receiver: name === null || url === null ? null : { name, url: maskUrl(url) },
  }));
}

function toConditions(filter: DeliveryFilter): Condition[] {
  const { event, webhookId, status, entity, patient, sinceMs, untilMs } = filter;
  const conditions: Condition[] = [visible];
  if (event !== undefined && event !== '*') conditions.push(matchWord('e.type', event));
  if (webhookId !== undefined) conditions.push(['d.webhook_id = ?', webhookId]);
  if (sinceMs !== undefined) conditions.push(['e.occurred_at >= ?', toSqlDatetime(sinceMs)]);
  if (untilMs !== undefined) conditions.push(['e.occurred_at < ?', toSqlDatetime(untilMs)]);
  if (patient !== undefined) conditions.push(['e.subject = ?', storedKey(patient)]);
  if (status === 'exhausted') conditions.push(['d.exhausted_at IS NOT NULL']);
  else if (status === 'failed') conditions.push(['d.failed_at IS NOT NULL']);
  else if (status === 'delivered') conditions.push(["d.status = 'delivered'"]);
  else if (status !== undefined) conditions.push(['q.state = ?', status]);
  if (entity !== undefined) {
    conditions.push(['e.entity_table = ? AND e.entity_key = ?', entity.table, storedKey(entity.key)]);
  }
  return conditions;
}

function toRecord(row: DeliveryRow): DeliveryRecord {
  return {
    id: row.id,
    webhookId: row.webhookId,
    webhookName: row.webhookName,
    webhookUrl: row.webhookUrl === null ? null : maskUrl(row.webhookUrl),
    eventId: row.eventId,
    eventType: row.eventType,
    entity: { table: row.entityTable, key: row.entityKey },
    patient: row.patient,
    status: row.status,
    responseStatus: row.responseStatus,
    explanation: row.explanation,
    retryCount: row.retryCount,
    occurredAtMs: fromSqlDatetime(row.occurredAt),
    createdAtMs: fromSqlDatetime(row.createdAt),
    deliveredAtMs: fromNullableSqlDatetime(row.deliveredAt),
    failedAtMs: fromNullableSqlDatetime(row.failedAt),
    nextAttemptAtMs: fromNullableSqlDatetime(row.nextAttemptAt),
  };
}

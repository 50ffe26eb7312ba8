import type { Session } from '../../../db/connection/client.ts';
import { matchesPattern } from '../../../event/subscription.ts';
import { readMarkedActs } from '../../../db/proof/marked-acts.ts';
import type { Marker } from '../../../db/proof/marks.ts';
import { readAhead } from '../../../lib/read-ahead.ts';
import { momentMs } from '../../../outbox/moment.ts';
import type { Excuses } from '../excuses.ts';
import { findQueueFlaw, type QueuePlace } from '../queue-flaw.ts';
import type { FailingSince } from '../failing-since.ts';
import { fail } from '../flaw.ts';
import type { Progress } from '../../seal/progress.ts';
import { readReplayRecords, type ReplayRecords, type ReplayState } from '../../act/replay-acts.ts';
import { readRecordedStates, type WebhookState } from '../../act/webhook-state.ts';

/*
 * What `delivery_log` says of a delivery beside what is sealed follows from its attempts, and from the acts that end or reopen it:
 *
 *   open        in the queue; failed_at is that of the last attempt, unless it was opened again since
 *   delivered   the last attempt was delivered; delivered_at is when that was recorded
 *   exhausted   the last attempt failed; or an erasure, or the deletion of the webhook, ended it at that moment
 *
 *   retry_count, response_status   of the last attempt
 */

export interface DeliveryWalk {
  session: Session;
  marker: Marker;
  excuses: Excuses;
  progress: Progress;
  /** The last delivery of which retention may have dropped the attempts; null when it has dropped no seal. */
  droppedTo: number | null;
  webhooks: ReadonlyMap<number, WebhookState | null>;
  failing: FailingSince;
  onDeliveries(count: number): void;
}

interface Row {
  id: number;
  webhookId: number;
  eventSeq: number;
  status: 'open' | 'delivered' | 'exhausted';
  responseStatus: number | null;
  deliveredAt: string | null;
  failedAt: string | null;
  exhaustedAt: string | null;
  retryCount: number;
  hasAnswer: number;
  eventId: string | null;
  eventType: string | null;
  entityTable: string | null;
  entityKey: string | null;
  occurredAt: string | null;
  subject: string | null;
  isHidden: number | null;
  isQueued: number;
  queuedWebhook: number | null;
  queuedEvent: number | null;
  queuedLane: number | null;
  queuedState: QueuePlace['queuedState'];
  isDue: number;
  queuedAttempt: number | null;
  attemptsBefore: number | null;
  isBeingQueued: number | null;
  nextId: number;
  attempt: number | null;
  number: number | null;
  outcome: string | null;
  attemptStatus: number | null;
  recordedAt: string | null;
}

interface Attempt {
  number: number;
  outcome: string;
  responseStatus: number | null;
  recordedAt: string | null;
}

type Delivery = Omit<Row, 'attempt' | 'number' | 'outcome' | 'attemptStatus' | 'recordedAt'> & {
  attempts: Attempt[];
};

const deliveriesAtOnce = 1_000;

/** Compares every delivery with its attempts and with the acts on record. One statement reads both, so that they fit. */
export async function checkDeliveries(walk: DeliveryWalk): Promise<void> {
  const pages = readAhead(readPages(walk.session), 1, (page) => Promise.resolve(page));
  for await (const deliveries of pages) {
    const reopened: Delivery[] = [];
    for (const delivery of deliveries) if (checkDelivery(walk, delivery)) reopened.push(delivery);
    await checkReopened(walk, reopened);
    await checkWebhooksOf(walk, deliveries);
    for (const { webhookId, attempts } of deliveries)
      for (const attempt of attempts) walk.failing.see(webhookId, attempt);
    walk.onDeliveries(deliveries.length);
  }
  await checkOrphans(walk.session);
  walk.failing.end();
}

async function* readPages(session: Session): AsyncGenerator<Delivery[], void, undefined> {
  for (let after = Number.MIN_SAFE_INTEGER; ;) {
    const deliveries = group(await session.rows<Row>(select, [after, deliveriesAtOnce]));
    yield deliveries;
    const last = deliveries.at(-1);
    if (!last || deliveries.length < deliveriesAtOnce) return;
    after = last.id;
  }
}

const columns =
  'id, webhook_id, event_seq, status, response_status, delivered_at, failed_at, exhausted_at, retry_count, response_body IS NOT NULL AS has_answer';
const select = `SELECT d.id, d.webhook_id AS webhookId, d.event_seq AS eventSeq, d.status, d.response_status AS responseStatus,
    d.delivered_at AS deliveredAt, d.failed_at AS failedAt, d.exhausted_at AS exhaustedAt, d.retry_count AS retryCount,
    d.has_answer AS hasAnswer, e.id AS eventId, e.type AS eventType, e.entity_table AS entityTable, e.entity_key AS entityKey,
    e.occurred_at AS occurredAt, e.subject, e.staging >= c.staging AS isHidden, q.delivery_id IS NOT NULL AS isQueued,
    q.webhook_id AS queuedWebhook, q.event_seq AS queuedEvent, q.lane AS queuedLane, q.state AS queuedState,
    q.due_at IS NOT NULL AS isDue, q.attempt AS queuedAttempt, q.attempts_before AS attemptsBefore, d.id >= c.unqueued_from AND d.id < c.unqueued_to AS isBeingQueued,
    c.next_delivery_id AS nextId, a.id AS attempt, a.number, a.outcome, a.response_status AS attemptStatus,
    a.recorded_at AS recordedAt
  FROM (SELECT ${columns} FROM delivery_log WHERE id > ? ORDER BY id LIMIT ?) d
  JOIN checkpoint c ON c.id = 1
  LEFT JOIN event_log e ON e.seq = d.event_seq
  LEFT JOIN queue q ON q.delivery_id = d.id
  LEFT JOIN attempts a ON a.delivery_id = d.id
  ORDER BY d.id, a.id`;

/** The rows of a delivery, one for each attempt, become its first row with all attempts. */
function group(rows: readonly Row[]): Delivery[] {
  const deliveries: Delivery[] = [];
  for (const row of rows) {
    const { attempt, number, outcome, attemptStatus, recordedAt } = row;
    if (deliveries.at(-1)?.id !== row.id) deliveries.push(Object.assign(row, { attempts: [] }));
    if (attempt === null) continue;
    deliveries.at(-1)!.attempts.push({
      ...{ number: number!, outcome: outcome!, responseStatus: attemptStatus, recordedAt },
    });
  }
  return deliveries;
}

function failDelivery(
  delivery: Delivery,
  fields: string[],
  why: string,
  kind: 'edited' | 'deleted' | 'inserted' | 'unexplained' = 'edited',
): never {
  return fail(kind, {
    message: `delivery ${delivery.id}: ${fields.join(', ')}${fields.length > 0 ? ' ' : ''}${why}`,
    ...{ log: 'delivery_log', entryId: delivery.id, delivery: delivery.id, fields },
  });
}

/** Returns whether it was opened again, which an act must explain. */
function checkDelivery(walk: DeliveryWalk, delivery: Delivery): boolean {
  const { progress, droppedTo } = walk;
  if (delivery.id < 1 || delivery.id >= delivery.nextId)
    failDelivery(delivery, [], 'was inserted: its number has not been given out', 'inserted');
  if (delivery.eventId === null)
    failDelivery(delivery, ['event_seq'], 'names an event that is not there', 'deleted');
  if (delivery.isHidden === 1) {
    // Of a transaction that is being staged nothing is sealed yet.
    if (delivery.id > progress.delivery_log.to) return false;
    failDelivery(delivery, ['staging'], 'was edited: it is hidden from all lists');
  }
  // What retention drops goes from the attempts first.
  if (droppedTo !== null && delivery.id <= droppedTo && delivery.attempts.length === 0) return false;
  checkNumbers(delivery, droppedTo !== null);
  return checkStatus(walk, delivery);
}

/** Deliveries to webhooks that no act has made. Of version f84be48 some are not known any more. */
async function checkWebhooksOf(walk: DeliveryWalk, deliveries: readonly Delivery[]): Promise<void> {
  const findStrange = (): Delivery | undefined =>
    deliveries.find(
      ({ id, webhookId }) => id > walk.progress.old.delivery_log && !walk.webhooks.has(webhookId),
    );
  if (!findStrange()) return;
  // It may have been made since.
  walk.webhooks = await readRecordedStates(walk.session, walk.marker);
  const strange = findStrange();
  if (strange) failDelivery(strange, ['webhook_id'], 'names a webhook that is on no record', 'unexplained');
}

/** That the queue would send this event to this webhook, in its order. */
function checkPlace({ progress }: DeliveryWalk, delivery: Delivery): void {
  const { id, isQueued, queuedAttempt: attempt } = delivery;
  if (isQueued === 0) return;
  const found = findQueueFlaw({ ...delivery, attempt }, delivery.attempts.at(-1)?.number ?? 0);
  if (!found) return;
  // How version f84be48 counted and ordered is not judged.
  const isOfOld = id <= progress.old.delivery_log && !isPlace(found.fields);
  if (!isOfOld) failDelivery(delivery, found.fields, found.why);
}

const isPlace = ([field]: readonly string[]): boolean => field === 'webhook_id' || field === 'event_seq';

function checkNumbers(delivery: Delivery, mayLackFirst: boolean): void {
  const numbers = delivery.attempts.map(({ number }) => number);
  const first = numbers[0] ?? 1;
  const follows = numbers.every((number, index) => number === first + index);
  if (!follows || (first !== 1 && !mayLackFirst))
    failDelivery(
      delivery,
      ['number'],
      `of its attempts does not count from 1 (${numbers.slice(0, 10).join(', ')})`,
    );
  const last = delivery.attempts.at(-1);
  if (delivery.retryCount !== (last?.number ?? 1) - 1)
    failDelivery(delivery, ['retry_count'], `is not that of its ${numbers.length} attempts`);
  if (!last && delivery.hasAnswer === 1)
    failDelivery(delivery, ['response_body'], 'is there without an attempt', 'inserted');
  // Version f84be48 left the answer of the attempt before a lost one.
  if (last?.outcome === 'lost' && last.recordedAt === null) return;
  if (delivery.responseStatus !== (last?.responseStatus ?? null))
    failDelivery(delivery, ['response_status'], 'is not that of its last attempt');
}

function checkStatus(walk: DeliveryWalk, delivery: Delivery): boolean {
  switch (delivery.status) {
    case 'open':
      return checkOpen(walk, delivery);
    case 'delivered':
      checkDelivered(delivery);
      return false;
    case 'exhausted':
      checkExhausted(walk, delivery);
      return false;
  }
}

function checkOpen(walk: DeliveryWalk, delivery: Delivery): boolean {
  checkPlace(walk, delivery);
  const last = delivery.attempts.at(-1);
  if (delivery.isQueued === 0) {
    if (delivery.isBeingQueued === 1) return false;
    failDelivery(
      delivery,
      ['status'],
      'is open and it is not in the queue: it would never be sent',
      'deleted',
    );
  }
  const count = last?.number ?? 0;
  const isReopened = delivery.attemptsBefore! > 0 && delivery.attemptsBefore === count;
  if (last?.outcome === 'delivered' && !isReopened)
    failDelivery(delivery, ['status'], 'is open and its last attempt was delivered');
  const failedAt = isReopened || !last ? null : last.recordedAt;
  if (isReopened || !last || last.recordedAt !== null) requireMoments(delivery, { failedAt });
  return isReopened;
}

function checkDelivered(delivery: Delivery): void {
  requireNotQueued(delivery);
  const last = delivery.attempts.at(-1);
  if (last?.outcome !== 'delivered')
    failDelivery(delivery, ['status'], 'is delivered and its last attempt was not');
  if (last.recordedAt !== null) requireMoments(delivery, { deliveredAt: last.recordedAt });
}

function checkExhausted(walk: DeliveryWalk, delivery: Delivery): void {
  requireNotQueued(delivery);
  const last = delivery.attempts.at(-1);
  const { exhaustedAt, failedAt } = delivery;
  if (exhaustedAt === null) failDelivery(delivery, ['exhausted_at'], 'is missing');
  if (last && last.outcome !== 'delivered' && last.recordedAt === null) return;
  if (last && last.outcome !== 'delivered' && exhaustedAt === last.recordedAt) {
    requireMoments(delivery, { exhaustedAt, failedAt: exhaustedAt });
    return;
  }
  if (!isGivenUp(walk, delivery)) {
    const why = last ? 'is not when its last attempt was recorded' : 'is explained by no attempt';
    const outcome = last?.outcome === 'delivered' ? ['status'] : ['exhausted_at'];
    failDelivery(
      delivery,
      outcome,
      `${why}, and no act on record ended it then`,
      last ? 'edited' : 'unexplained',
    );
  }
  const isOneOf = failedAt === exhaustedAt || (last !== undefined && failedAt === last.recordedAt);
  if (!isOneOf)
    failDelivery(delivery, ['failed_at'], 'is neither that of its last attempt nor when it was ended');
  requireMoments(delivery, { exhaustedAt, failedAt });
}

/** Whether an erasure or the deletion of its webhook ended it, at that moment. */
function isGivenUp({ excuses, webhooks, progress }: DeliveryWalk, delivery: Delivery): boolean {
  const { subject, eventSeq, webhookId, exhaustedAt, id } = delivery;
  const atMs = momentMs(exhaustedAt!);
  const erasedAtMs = excuses.erasedAtMs(subject, eventSeq);
  const deletedAt = webhooks.get(webhookId)?.deleted_at ?? null;
  // Of version f84be48 the moments are not known exactly.
  if (id <= progress.old.delivery_log) return erasedAtMs.length > 0 || deletedAt !== null;
  return erasedAtMs.includes(atMs) || (deletedAt !== null && Date.parse(deletedAt) === atMs);
}

function requireNotQueued(delivery: Delivery): void {
  if (delivery.isQueued === 1)
    failDelivery(delivery, ['status'], `is ${delivery.status} and it is in the queue`, 'inserted');
}

type Moments = Partial<Pick<Delivery, 'deliveredAt' | 'failedAt' | 'exhaustedAt'>>;

function requireMoments(
  delivery: Delivery,
  { deliveredAt = null, failedAt = null, exhaustedAt = null }: Moments,
): void {
  const wrong = [
    ...(delivery.deliveredAt === deliveredAt ? [] : ['delivered_at']),
    ...(delivery.failedAt === failedAt ? [] : ['failed_at']),
    ...(delivery.exhaustedAt === exhaustedAt ? [] : ['exhausted_at']),
  ];
  if (wrong.length > 0) failDelivery(delivery, wrong, 'is not what its attempts say');
}

/** A person opens a delivery again: by a retry of it, or by a replay to its webhook, after its last attempt. */
async function checkReopened(walk: DeliveryWalk, reopened: readonly Delivery[]): Promise<void> {
  if (reopened.length === 0) return;
  const retries = await readMarkedActs(walk.session, walk.marker, {
    action: 'delivery.retry',
    targets: reopened.map(({ id }) => String(id)),
  });
  // Anew: a replay may have begun since.
  const replays = await readReplayRecords(walk.session, walk.marker);
  const running = await walk.session.rows<{ id: number; nextSeq: number }>(
    "SELECT id, next_seq AS nextSeq FROM replays WHERE state = 'running'",
  );
  const nextSeqs = new Map(running.map(({ id, nextSeq }) => [id, nextSeq]));
  const retriedAt = new Map(retries.map(({ target, at }) => [Number(target), at]));
  for (const delivery of reopened) {
    const lastAt = delivery.attempts.at(-1)?.recordedAt;
    if (lastAt === undefined || lastAt === null) continue;
    if ((retriedAt.get(delivery.id) ?? '') >= lastAt) continue;
    if (
      [...replays.created].some(([id, row]) =>
        isReplayed(replays, { id, row, delivery, lastAt, nextSeq: nextSeqs.get(id) }),
      )
    )
      continue;
    failDelivery(
      delivery,
      ['status'],
      'was opened again, and no retry or replay on record did it',
      'unexplained',
    );
  }
}

interface Replaying {
  id: number;
  row: ReplayState | null;
  delivery: Delivery;
  lastAt: string;
  /** The next event that it looks at, while it runs. */
  nextSeq: number | undefined;
}

/** Whether a replay could have opened this delivery after that attempt. Of version f84be48 only the webhook is known. */
function isReplayed(
  { ended }: ReplayRecords,
  { id, row, delivery, lastAt, nextSeq = Infinity }: Replaying,
): boolean {
  if (row === null) return false;
  const finishedAt = ended.get(id)?.['finished_at'] as string | null | undefined;
  const events = row['events'] as readonly string[] | null;
  return (
    row['webhook_id'] === delivery.webhookId &&
    delivery.eventSeq <= (row['last_seq'] as number) &&
    delivery.eventSeq < nextSeq &&
    delivery.occurredAt! >= (row['since'] as string) &&
    delivery.occurredAt! < (row['until'] as string) &&
    (finishedAt == null || finishedAt >= lastAt) &&
    (events === null || events.some((pattern) => matchesPattern(pattern, delivery.eventType!))) &&
    (row['entity_table'] === null ||
      (row['entity_table'] === delivery.entityTable && row['entity_key'] === delivery.entityKey))
  );
}

/** Rows of the queue that send a delivery which the log does not have. */
async function checkOrphans(session: Session): Promise<void> {
  const [orphan] = await session.rows<{ id: number }>(
    'SELECT q.delivery_id AS id FROM queue q LEFT JOIN delivery_log d ON d.id = q.delivery_id WHERE d.id IS NULL LIMIT 1',
  );
  if (!orphan) return;
  fail('inserted', {
    message: `delivery ${orphan.id} is in the queue and not in the log`,
    delivery: orphan.id,
  });
}

import type { Session } from '../../db/connection/client.ts';
import { openMarker, type MarkedAttempt } from '../../db/proof/marks.ts';
import { idIn, insertRows, literal, toBatches } from '../../db/connection/sql-text.ts';
import { exhaustedEvent } from './exhausted.ts';
import { insertAttemptRows } from './insert-attempts.ts';
import { toSqlDatetime } from '../sql-datetime.ts';
import { encryptPayload } from '../payload/payloads.ts';
import { makeDue } from './promote.ts';
import { selectFreeHeads } from './queue-lanes.ts';
import type { Claimant, Settlement } from '../types.ts';

export interface Settled {
  settled: number;
  /** Claims that expired and were rescued meanwhile: nothing is recorded for them, because another process has them. */
  lost: number;
  /** Deliveries that waited for a settled one and are due now. */
  promoted: number;
  /** The first failure of each webhook whose failures began in this batch. */
  begun: Settlement[];
}

interface OwnedRow {
  id: number;
  lane: number | null;
  attempt: number;
  attemptsBefore: number;
  /** The time of the store, the same in all rows. */
  now: string;
}

/** A settlement whose claim is still valid, with its row of the queue. */
interface Owned extends Settlement {
  lane: number | null;
  /** Number of the attempt, counted over all reopenings. */
  number: number;
  recordedAt: string;
}

/** Maximum length of a stored answer: enough to see a receiver's error message. */
const keptBodyCharacters = 4_096;

/**
 * Records the outcomes of attempts, many in one transaction: the attempt in the log, the delivery's outcome, its end or its next due time, and the next
 * delivery of its lane. Repeating it after a lost answer is harmless: deliveries that were already settled count as lost.
 */
export async function settle(
  { store, cipher, owner }: Claimant,
  settlements: readonly Settlement[],
): Promise<Settled> {
  if (settlements.length === 0) return { settled: 0, lost: 0, promoted: 0, begun: [] };
  const marker = await openMarker(store, cipher);
  return store.transaction(async (tx) => {
    const owned = await lockOwned(tx, owner, settlements);
    const lost = settlements.length - owned.length;
    if (owned.length === 0) return { settled: 0, lost, promoted: 0, begun: [] };
    const ended = owned.filter(({ next }) => next.kind !== 'retry');
    const freed = ended.map(({ lane }) => lane).filter((lane) => lane !== null);
    const health = healthOf(owned);
    const results = await tx.script<{ id: number }>([
      `SET @now = ${literal(owned[0]!.recordedAt)}`,
      ...insertAttemptRows(owned.map(toAttempt), marker),
      ...updateLog(owned),
      ...updateQueue(owned, ended),
      ...updateHealth(health),
      ...noteExhausted(owned),
      ...(freed.length === 0 ? [] : [selectFreeHeads(new Set(freed))]),
    ]);
    const begun = health.failing.size === 0 ? [] : (results.shift() ?? []);
    const [heads = []] = results;
    if (heads.length > 0) await tx.run(makeDue(heads.map(({ id }) => id)));
    return {
      ...{ settled: owned.length, lost, promoted: heads.length },
      begun: begun.map(({ id }) => owned.find(({ delivery }) => delivery.webhookId === id)!),
    };
  });
}

function idsOf(settlements: readonly Settlement[]): number[] {
  return settlements.map(({ delivery }) => delivery.id);
}

/** Locks the claims in the order of their ids, so that two settlements cannot deadlock. */
async function lockOwned(tx: Session, owner: string, settlements: readonly Settlement[]): Promise<Owned[]> {
  const rows = await tx.rows<OwnedRow>(
    `SELECT delivery_id AS id, lane, attempt, attempts_before AS attemptsBefore, UTC_TIMESTAMP(3) AS now
     FROM queue FORCE INDEX (PRIMARY) WHERE ${idIn('delivery_id', idsOf(settlements))}
       AND state = 'sending' AND claimed_by = ? ORDER BY delivery_id FOR UPDATE`,
    [owner],
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  return settlements.flatMap((settlement) => {
    const row = byId.get(settlement.delivery.id);
    // The same owner may have claimed it again after a rescue: then it is another attempt.
    if (row === undefined || row.attempt - row.attemptsBefore !== settlement.delivery.attempt) return [];
    byId.delete(row.id);
    return [{ ...settlement, lane: row.lane, number: row.attempt, recordedAt: row.now }];
  });
}

function toAttempt({
  delivery,
  number,
  outcome,
  explanation,
  endedAtMs,
  receiver,
  recordedAt,
}: Owned): MarkedAttempt {
  const durationMs = Math.round(outcome.durationMs);
  return {
    delivery: delivery.id,
    number,
    startedAt: toSqlDatetime(endedAtMs - durationMs),
    durationMs,
    outcome: outcome.kind,
    responseStatus: outcome.status ?? null,
    reason: outcome.reason ?? null,
    explanation: explanation ?? null,
    recordedAt,
    receiver: receiver ?? null,
    webhook: delivery.webhookId,
    eventId: delivery.eventId,
    eventType: delivery.eventType,
  };
}

/** One UPDATE for all deliveries with the same values: usually one for the whole batch. Encrypted answers differ, and are written a hundred at a time. */
function updateLog(owned: readonly Owned[]): string[] {
  const groups = new Map<string, Owned[]>();
  for (const settlement of owned) {
    const key = `${logAssignments(settlement)}, ${isEncrypted(settlement) ? '' : literal(answerOf(settlement))}`;
    const group = groups.get(key);
    if (group) group.push(settlement);
    else groups.set(key, [settlement]);
  }
  return [...groups.values()].flatMap((group) =>
    chunks(group).map(
      (chunk) =>
        `UPDATE delivery_log SET ${logAssignments(chunk[0]!)}, response_body = ${answersOf(chunk)}` +
        ` WHERE ${idIn('id', idsOf(chunk))}`,
    ),
  );
}

/** For each row, the server searches all answers of the statement. */
const encryptedAtOnce = 100;

function chunks(group: readonly Owned[]): (readonly Owned[])[] {
  if (!isEncrypted(group[0]!)) return [group];
  const count = Math.ceil(group.length / encryptedAtOnce);
  const parts = Array.from({ length: count }, (_, n) =>
    group.slice(n * encryptedAtOnce, (n + 1) * encryptedAtOnce),
  );
  // An encrypted answer has up to 4 bytes for each character.
  return parts.flatMap((part) =>
    toBatches(
      part,
      ({ outcome }) => 4 * Math.min(keptBodyCharacters, outcome.responseBody?.length ?? 0) + 200,
    ),
  );
}

/** SQL that sets the answer of each delivery. */
function answersOf(chunk: readonly Owned[]): string {
  if (!isEncrypted(chunk[0]!)) return literal(answerOf(chunk[0]!));
  const cases = chunk.map(
    (settlement) => `WHEN ${settlement.delivery.id} THEN ${literal(answerOf(settlement))}`,
  );
  return `CASE id ${cases.join(' ')} END`;
}

function isEncrypted({ delivery, outcome }: Owned): boolean {
  return delivery.key !== undefined && (outcome.responseBody ?? '') !== '';
}

/** Encrypted like the payload, because a receiver may echo it. */
function answerOf(settlement: Owned): string | null {
  const { delivery, outcome } = settlement;
  const answer = outcome.responseBody?.slice(0, keptBodyCharacters) ?? null;
  return isEncrypted(settlement) ? encryptPayload(delivery.key!, delivery.eventId, answer!) : answer;
}

function logAssignments({ outcome, next, number }: Owned): string {
  const answer = `response_status = ${literal(outcome.status ?? null)}, retry_count = ${number - 1}, reserve = NULL`;
  switch (next.kind) {
    case 'delivered':
      return `status = 'delivered', delivered_at = @now, failed_at = NULL, exhausted_at = NULL, ${answer}`;
    case 'retry':
      return `failed_at = @now, ${answer}`;
    case 'exhausted':
      return `status = 'exhausted', failed_at = @now, exhausted_at = @now, ${answer}`;
  }
}

function updateQueue(owned: readonly Owned[], ended: readonly Owned[]): string[] {
  const statements: string[] = [];
  if (ended.length > 0) {
    statements.push(`DELETE FROM queue WHERE ${idIn('delivery_id', idsOf(ended))}`);
  }
  const delays = owned.flatMap(({ delivery, next }) =>
    next.kind === 'retry' ? [{ id: delivery.id, delayMs: next.delayMs }] : [],
  );
  if (delays.length > 0) {
    const ids = delays.map(({ id }) => id);
    const cases = delays
      .map(({ id, delayMs }) => `WHEN ${id} THEN ${literal(Math.round(delayMs * 1_000))}`)
      .join(' ');
    statements.push(
      `UPDATE queue SET state = 'pending',
         due_at = @now + INTERVAL CASE delivery_id ${cases} END MICROSECOND
       WHERE ${idIn('delivery_id', ids)}`,
    );
  }
  return statements;
}

/** For the event `delivery.exhausted`. An exhausted delivery of such an event causes no further event: otherwise each would cause the next. */
function noteExhausted(owned: readonly Owned[]): string[] {
  const rows = owned
    .filter(({ next, delivery }) => next.kind === 'exhausted' && delivery.eventType !== exhaustedEvent)
    .map(({ delivery, number }) => `(${delivery.id},${number})`);
  return rows.length === 0 ? [] : insertRows('exhausted_deliveries (delivery_id, attempt)', rows);
}

/** Webhooks by the outcome of these attempts: at least one success, or only failures. */
interface Health {
  well: ReadonlySet<number>;
  failing: ReadonlySet<number>;
}

function healthOf(owned: readonly Owned[]): Health {
  const well = new Set(
    owned.filter(({ outcome }) => outcome.kind === 'delivered').map(({ delivery }) => delivery.webhookId),
  );
  const all = owned.map(({ delivery }) => delivery.webhookId);
  return { well, failing: new Set(all.filter((id) => !well.has(id))) };
}

/** Maintains `failing_since`: set on the first failure after a success, cleared on success. Selects the webhooks for which it is set. */
function updateHealth({ well, failing }: Health): string[] {
  const update = (ids: ReadonlySet<number>, value: string, where: string): string[] =>
    ids.size === 0
      ? []
      : // A change by the engine does not count as an edit.
        [
          `UPDATE webhooks SET failing_since = ${value}, updated_at = updated_at WHERE ${idIn('id', ids)} AND ${where}`,
        ];
  return [
    ...update(well, 'NULL', 'failing_since IS NOT NULL'),
    ...(failing.size === 0
      ? []
      : [`SELECT id FROM webhooks WHERE ${idIn('id', failing)} AND failing_since IS NULL FOR UPDATE`]),
    ...update(failing, '@now', 'failing_since IS NULL'),
  ];
}

import type { Session, Store } from '../../db/connection/client.ts';
import type { Marker } from '../../db/proof/marks.ts';
import { idIn } from '../../db/connection/sql-text.ts';
import {
  claimVariables,
  insertDeliveries,
  insertEvents,
  insertQueue,
  type PlacedDelivery,
  type QueueRow,
} from './append-statements.ts';
import { placeEvents, witnessOf, type Appended, type Kept } from './place-events.ts';
import { knowledgeStatements, positionAssignments, type Counters } from '../checkpoint.ts';
import type { Router } from './fan-out.ts';
import type { GuardedWriter, Plan } from './guarded-writer.ts';
import { laneOf } from './lane.ts';
import type { SubjectKeyCache } from '../payload/payload-encryptor.ts';
import { promoteLanes } from '../queue/promote.ts';
import { lanesInUse, lanesOf } from '../queue/queue-lanes.ts';
import type { StandingErasures } from '../payload/standing-erasures.ts';
import type { Checkpoint, Claimant, Subscription } from '../types.ts';

/*
 * Writes a source transaction of any size in store transactions of bounded size:
 *
 *   stage  (many)   events and deliveries under the present staging number: no view shows them, nothing is queued
 *   flip   (one)    raises the staging number and moves the checkpoint: one row changes, and everything is visible
 *   queue  (many)   puts the deliveries into the queue; continues after a crash, before anything else is appended
 *
 * A crash before the flip leaves invisible rows; the next capturing process discards them and reads the transaction again.
 */

const stageRows = 1_000;
const queueRows = 2_000;
const discardRows = 2_000;

interface Staging {
  kept: Kept;
  route: Router;
  keys: SubjectKeyCache;
  erasures: StandingErasures;
  marker: Marker;
}

/** Writes a part's events and deliveries as invisible rows, at most `stageRows` events a transaction. */
export async function stageEvents(
  writer: GuardedWriter,
  { kept, ...staging }: Staging,
): Promise<Pick<Appended, 'events' | 'copies' | 'erased'>> {
  let erased = 0;
  for (let from = 0; from < kept.events.length; from += stageRows) {
    const events = kept.events.slice(from, from + stageRows);
    erased += await writer.commit((counters) =>
      planStage({ ...staging, kept: { events, copies: 0 } }, counters),
    );
  }
  return { events: kept.events.length, copies: kept.copies, erased };
}

async function planStage(
  { kept, route, keys, erasures, marker }: Staging,
  counters: Counters,
): Promise<Plan<number>> {
  const placed = placeEvents(kept, counters);
  const erased = await erasures.coveredBy(placed, counters);
  const events = placed.filter((each) => !erased.has(each));
  const encryptor = await keys.encryptorFor(
    events.map(({ event }) => event),
    counters,
  );
  const deliveries: PlacedDelivery[] = events
    .flatMap((of) => route(of.event).map((delivery) => ({ ...delivery, of, state: 'waiting' as const })))
    .map((delivery, index) => ({ ...delivery, id: counters.nextDeliveryId + index }));
  const after = {
    ...counters,
    nextEventSeq: counters.nextEventSeq + placed.length,
    nextDeliveryId: counters.nextDeliveryId + deliveries.length,
  };
  keys.remember(after);
  erasures.remember(after);
  return {
    set: [
      `staged_from_seq = COALESCE(staged_from_seq, ${counters.nextEventSeq})`,
      `staged_from_delivery = COALESCE(staged_from_delivery, ${counters.nextDeliveryId})`,
    ],
    statements: [
      ...encryptor.statements,
      ...insertEvents(placed, { staging: counters.staging, encryptor, erased }),
      ...insertDeliveries(deliveries, { encryptor, marker }),
    ],
    after,
    webhookIds: new Set(deliveries.map(({ webhookId }) => webhookId)),
    ...witnessOf(placed),
    result: erased.size,
  };
}

/**
 * Makes all staged rows visible together with the checkpoint, by changing one row. Only the holder of the lease raises the staging number. If it is higher
 * when the flip is planned again, the first commit succeeded but its answer was lost, and a second flip would lose the deliveries that are not queued yet.
 */
export async function flipStaged(
  writer: GuardedWriter,
  checkpoint: Checkpoint,
  marker: Marker,
): Promise<void> {
  const { staging } = writer.counters;
  await writer.commit((counters) =>
    Promise.resolve({
      set: [
        ...positionAssignments(checkpoint, { marker, epoch: counters.epoch }),
        ...(counters.staging > staging
          ? []
          : [
              'unqueued_from = staged_from_delivery',
              `unqueued_to = IF(staged_from_delivery IS NULL, NULL, ${counters.nextDeliveryId})`,
              'staged_from_seq = NULL',
              'staged_from_delivery = NULL',
            ]),
      ],
      statements: knowledgeStatements(checkpoint),
      after: { ...counters, staging: staging + 1 },
      result: undefined,
    }),
  );
}

/** Removes staged rows that were not flipped, in bounded transactions. */
export async function discardStaged(store: Store, writer: GuardedWriter): Promise<void> {
  const [row] = await store.rows<{ fromSeq: number | null }>(
    'SELECT staged_from_seq AS fromSeq FROM checkpoint WHERE id = 1',
  );
  const fromSeq = row!.fromSeq;
  if (fromSeq === null) return;
  for (;;) {
    const seqs = await stagedSeqs(store, fromSeq, writer.counters.staging);
    await writer.commit((counters) =>
      Promise.resolve({
        set: seqs.length > 0 ? [] : ['staged_from_seq = NULL', 'staged_from_delivery = NULL'],
        statements:
          seqs.length === 0
            ? []
            : [
                `DELETE FROM delivery_log WHERE ${idIn('event_seq', seqs)}`,
                `DELETE FROM event_log WHERE ${idIn('seq', seqs)}`,
              ],
        after: counters,
        result: undefined,
      }),
    );
    if (seqs.length === 0) return;
  }
}

async function stagedSeqs(session: Session, fromSeq: number, staging: number): Promise<number[]> {
  const rows = await session.rows<{ seq: number }>(
    'SELECT seq FROM event_log WHERE seq >= ? AND staging = ? ORDER BY seq LIMIT ?',
    [fromSeq, staging, discardRows],
  );
  return rows.map(({ seq }) => seq);
}

/** Puts the deliveries of the last flip into the queue, unless they are already there. */
export async function queueStaged(
  claimant: Claimant,
  writer: GuardedWriter,
  webhooks: readonly Subscription[],
): Promise<void> {
  const { store } = claimant;
  const unordered = new Set(webhooks.filter(({ order }) => order === 'none').map(({ id }) => id));
  for (;;) {
    const [range] = await store.rows<{ from: number | null; to: number | null }>(
      'SELECT unqueued_from AS `from`, unqueued_to AS `to` FROM checkpoint WHERE id = 1',
    );
    const { from, to } = range!;
    if (from === null || to === null) return;
    const unqueued = await readUnqueued(store, { from, to, staging: writer.counters.staging - 1 });
    const last = unqueued.at(-1);
    const raced = await writer.commit(async (counters) => {
      const { rows, used } = await toQueueRows(store, unqueued, unordered);
      return {
        set:
          unqueued.length < queueRows || last === undefined
            ? ['unqueued_from = NULL', 'unqueued_to = NULL']
            : [`unqueued_from = ${last.id + 1}`],
        statements: [claimVariables(claimant.claimMs), ...insertQueue(rows, claimant.owner)],
        after: counters,
        result: used,
      };
    });
    await promoteLanes(store, raced);
  }
}

interface Unqueued {
  id: number;
  webhookId: number;
  eventSeq: number;
  entityTable: string;
  entityKey: string;
}

/** Only deliveries of the staged transaction: a replay may have inserted others between them. */
function readUnqueued(
  session: Session,
  { from, to, staging }: { from: number; to: number; staging: number },
): Promise<Unqueued[]> {
  return session.rows<Unqueued>(
    `SELECT d.id, d.webhook_id AS webhookId, d.event_seq AS eventSeq,
            e.entity_table AS entityTable, e.entity_key AS entityKey
     FROM delivery_log d FORCE INDEX (PRIMARY) JOIN event_log e ON e.seq = d.event_seq
     WHERE d.id >= ? AND d.id < ? AND e.staging = ? ORDER BY d.id LIMIT ?`,
    [from, to, staging, queueRows],
  );
}

/** The rows to insert, and the lanes in which they wait for deliveries that were already in the queue. */
async function toQueueRows(
  session: Session,
  unqueued: readonly Unqueued[],
  unordered: ReadonlySet<number>,
): Promise<{ rows: QueueRow[]; used: Set<number> }> {
  const placed = unqueued.map(({ id, webhookId, eventSeq, entityTable, entityKey }) => ({
    id,
    webhookId,
    eventSeq,
    lane: unordered.has(webhookId) ? null : laneOf(webhookId, { table: entityTable, key: entityKey }),
  }));
  const used = await lanesInUse(session, lanesOf(placed));
  const held = new Set(used);
  const rows = placed.map((row): QueueRow => {
    const free = row.lane === null || !held.has(row.lane);
    if (row.lane !== null) held.add(row.lane);
    return { ...row, state: free ? 'pending' : 'waiting' };
  });
  return { rows, used };
}

import { openMarker, type Marker } from '../../db/proof/marks.ts';
import { toBatches } from '../../db/connection/sql-text.ts';
import type { DomainEvent } from '../../event/types.ts';
import {
  claimVariables,
  insertDeliveries,
  insertEvents,
  insertQueue,
  type PlacedDelivery,
  type PlacedEvent,
  type QueueRow,
} from './append-statements.ts';
import { knowledgeStatements, positionAssignments, type Counters } from '../checkpoint.ts';
import type { Planned, Router } from './fan-out.ts';
import { isDuplicate, openGuardedWriter, type Plan } from './guarded-writer.ts';
import { laneText } from './lane.ts';
import { LaneCache } from './lane-cache.ts';
import { SubjectKeyCache, type PayloadEncryptor } from '../payload/payload-encryptor.ts';
import { createFollowUp, type FollowUpOptions } from '../queue/promote.ts';
import { lanesOf } from '../queue/queue-lanes.ts';
import { placeEvents, witnessOf, type Appended, type Kept } from './place-events.ts';
import { requireFit } from './require-fit.ts';
import { discardStaged, flipStaged, queueStaged, stageEvents } from './staging.ts';
import { StandingErasures } from '../payload/standing-erasures.ts';
import type { Checkpoint, ClaimedDelivery, Claimant, Room, Subscription } from '../types.ts';

/** The events of one source transaction, or of a part of one. */
export interface AppendedTransaction {
  id: string;
  events: readonly DomainEvent[];
}

export interface AppendOptions {
  route: Router;
  room: Room;
}

/** Writes the outbox for as long as this process has the capture lease. One call at a time. */
export interface Appender {
  /**
   * Writes events, their deliveries and the checkpoint in one transaction. Throws StaleRoute, and writes nothing, when an operator has disabled a webhook
   * that `route` has deliveries for: from that act on its events are not queued.
   */
  append(
    batch: { transactions: readonly AppendedTransaction[]; checkpoint: Checkpoint },
    options: AppendOptions,
  ): Promise<Appended>;
  /** Throws a CaptureFault for an event that is too large for the store. */
  requireFit(events: readonly DomainEvent[]): Promise<void>;
  /** Moves the checkpoint, and runs further statements in the same transaction. */
  advance(checkpoint: Checkpoint, statements?: readonly string[]): Promise<void>;
  /** Writes a part of a huge transaction as invisible rows, in bounded transactions. */
  stage(part: AppendedTransaction, route: Router): Promise<Pick<Appended, 'events' | 'copies' | 'erased'>>;
  /** Makes all staged rows visible at once, together with the checkpoint; then puts their deliveries into the queue. */
  flip(checkpoint: Checkpoint, webhooks: readonly Subscription[]): Promise<void>;
  /** Discards the staged rows: the source's transaction will be read again. */
  discard(): Promise<void>;
  /** Waits for the background work that follows an append. */
  close(): Promise<void>;
}

export interface AppenderOptions extends FollowUpOptions {
  /** Token of the capture lease. */
  fence: number;
  webhooks: readonly Subscription[];
}

/**
 * Takes over writing: from here on every append of an earlier holder fails. Removes the staged rows of a crashed holder, and queues the deliveries that it
 * had made visible. Throws AppError ERR_LEASE_LOST, as all methods do, when a later holder was faster, and ERR_AUDIT when the signing key is missing.
 */
export async function openAppender(claimant: Claimant, options: AppenderOptions): Promise<Appender> {
  const { store, cipher } = claimant;
  // No entry is written before there is a signing key.
  const marker = await openMarker(store, cipher);
  const writer = await openGuardedWriter(store, options.fence);
  await discardStaged(store, writer);
  await queueStaged(claimant, writer, options.webhooks);
  const memory = new LaneCache(store);
  const keys = new SubjectKeyCache(store, cipher);
  const erasures = new StandingErasures(store, cipher);
  const followUp = createFollowUp(store, options);

  return {
    async append({ transactions, checkpoint }, { route, room }) {
      const { result, waitingLanes } = await withoutCopies(claimant, transactions, (kept) =>
        writer.commit((counters) =>
          planAppend(claimant, { kept, checkpoint, route, room, counters, memory, keys, erasures, marker }),
        ),
      );
      followUp.add(waitingLanes);
      return result;
    },
    requireFit: (events) => requireFit(claimant, events),
    advance: (checkpoint, statements = []) =>
      writer.commit((counters) =>
        Promise.resolve({
          set: positionAssignments(checkpoint, { marker, epoch: counters.epoch }),
          statements: [...knowledgeStatements(checkpoint), ...statements],
          after: counters,
          result: undefined,
        }),
      ),
    stage: (part, route) =>
      withoutCopies(claimant, [part], (kept) => stageEvents(writer, { kept, route, keys, erasures, marker })),
    async flip(checkpoint, webhooks) {
      await flipStaged(writer, checkpoint, marker);
      memory.forget();
      await queueStaged(claimant, writer, webhooks);
    },
    discard: () => discardStaged(store, writer),
    close: () => followUp.close(),
  };
}

/**
 * Tries without a query for existing events, because after a restart the checkpoint and the events agree. When the server reports a duplicate, it queries
 * the existing events and retries without them.
 */
async function withoutCopies<T>(
  { store }: Claimant,
  transactions: readonly AppendedTransaction[],
  write: (kept: Kept) => Promise<T>,
): Promise<T> {
  const all = transactions.flatMap(({ id, events }) => events.map((event) => ({ event, transactionId: id })));
  try {
    return await write({ events: all, copies: 0 });
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    const seen = await knownIds(
      store,
      all.map(({ event }) => event.id),
    );
    const events = all.filter(({ event }) => {
      const isNew = !seen.has(event.id);
      seen.add(event.id);
      return isNew;
    });
    if (events.length === all.length) throw error;
    return write({ events, copies: all.length - events.length });
  }
}

async function knownIds(store: Claimant['store'], ids: readonly string[]): Promise<Set<string>> {
  const known = new Set<string>();
  for (const batch of toBatches(ids, (id) => id.length + 4)) {
    const rows = await store.rows<{ id: string }>('SELECT id FROM event_log WHERE id IN (?)', [batch]);
    for (const { id } of rows) known.add(id);
  }
  return known;
}

interface AppendInput extends AppendOptions {
  kept: Kept;
  checkpoint: Checkpoint;
  counters: Counters;
  memory: LaneCache;
  keys: SubjectKeyCache;
  erasures: StandingErasures;
  marker: Marker;
}

interface Planning {
  result: Appended;
  /** Lanes with a delivery that waits for a delivery of an earlier append. */
  waitingLanes: Set<number>;
}

async function planAppend(claimant: Claimant, input: AppendInput): Promise<Plan<Planning>> {
  const { kept, checkpoint, route, room, counters, memory, keys, erasures, marker } = input;
  const placed = placeEvents(kept, counters);
  const erased = await erasures.coveredBy(placed, counters);
  const events = placed.filter((each) => !erased.has(each));
  const planned = events.flatMap((of) => route(of.event).map((delivery) => ({ ...delivery, of })));
  const lanes = lanesOf(planned);
  const used = await memory.inUse(lanes, counters);
  const encryptor = await keys.encryptorFor(
    events.map(({ event }) => event),
    counters,
  );
  const deliveries = placeDeliveries(planned, { firstId: counters.nextDeliveryId, used, room });
  const after = {
    ...counters,
    nextEventSeq: counters.nextEventSeq + placed.length,
    nextDeliveryId: counters.nextDeliveryId + deliveries.length,
  };
  memory.remember(lanes, after);
  keys.remember(after);
  erasures.remember(after);
  return {
    set: positionAssignments(checkpoint, { marker, epoch: counters.epoch }),
    statements: [
      ...knowledgeStatements(checkpoint),
      ...encryptor.statements,
      ...insertEvents(placed, { staging: 0, encryptor, erased }),
      ...insertDeliveries(deliveries, { encryptor, marker }),
      ...(deliveries.length === 0 ? [] : [claimVariables(claimant.claimMs)]),
      ...insertQueue(deliveries.map(toQueueRow), claimant.owner),
    ],
    after,
    webhookIds: new Set(deliveries.map(({ webhookId }) => webhookId)),
    ...witnessOf(placed),
    result: {
      result: {
        events: placed.length,
        erased: erased.size,
        copies: kept.copies,
        deliveries: deliveries.length,
        fresh: deliveries
          .filter(({ state }) => state === 'sending')
          .map((delivery) => toFresh(delivery, encryptor)),
      },
      waitingLanes: lanesOf(deliveries.filter(({ lane }) => lane !== null && used.has(lane))),
    },
  };
}

interface Placing {
  firstId: number;
  used: ReadonlySet<number>;
  room: Room;
}

/**
 * Decides the state of each delivery: it waits if its lane has a delivery of an earlier append; otherwise this process claims it while it has capacity.
 * The claimed deliveries of a lane are always the first ones: after an unclaimed delivery none is claimed.
 */
function placeDeliveries(
  planned: readonly (Planned & { of: PlacedEvent })[],
  { firstId, used, room }: Placing,
): PlacedDelivery[] {
  let total = room.total;
  const roomLeft = new Map<number, number>();
  const held = new Set(used);
  const heads = new Set<number>();
  return planned.map((delivery, index) => {
    const { lane, webhookId } = delivery;
    const left = roomLeft.get(webhookId) ?? room.of(webhookId);
    const free = lane === null || !held.has(lane);
    const claim = free && left > 0 && total > 0;
    if (claim) {
      total -= 1;
      roomLeft.set(webhookId, left - 1);
    }
    const first = lane === null || (free && !heads.has(lane));
    if (lane !== null) {
      heads.add(lane);
      if (!claim) held.add(lane);
    }
    return { ...delivery, id: firstId + index, state: claim ? 'sending' : first ? 'pending' : 'waiting' };
  });
}

function toQueueRow({ id, webhookId, of, lane, state }: PlacedDelivery): QueueRow {
  return { id, webhookId, eventSeq: of.seq, lane, state };
}

function toFresh(
  { id, webhookId, of, lane, payload }: PlacedDelivery,
  encryptor: PayloadEncryptor,
): ClaimedDelivery {
  const { event } = of;
  const key = encryptor.keyOf(event);
  return {
    id,
    webhookId,
    eventId: event.id,
    eventType: event.type,
    lane: laneText(lane),
    body: payload ?? event.body,
    attempt: 1,
    occurredAtMs: event.occurredAtMs,
    ...(key !== null && { key }),
  };
}

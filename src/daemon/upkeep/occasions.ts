import { readLastSeal } from '../../audit/seal/chain.ts';
import type { Session } from '../../db/connection/client.ts';
import type { Installation } from '../../db/schema/installation.ts';
import { formatTimestamp } from '../../event/body.ts';
import { createSystemEvent, type SystemEvent } from '../../event/system-events.ts';
import type { DomainEvent } from '../../event/types.ts';
import { systemClock } from '../../lib/clock.ts';
import { createLoop, type Background } from '../../lib/loop/loop.ts';
import type { FailureLog } from '../../lib/loop/failure-log.ts';
import { appendSystemEvent } from '../../outbox/append/append-system-event.ts';
import type { Router } from '../../outbox/append/fan-out.ts';
import { findEndedHalt } from '../../outbox/halt-events.ts';
import { fromSqlDatetime } from '../../outbox/sql-datetime.ts';
import {
  dropExhausted,
  exhaustedEvent,
  forgetExhausted,
  listExhausted,
  type Exhausted,
} from '../../outbox/queue/exhausted.ts';
import type { Claimant } from '../../outbox/types.ts';
import { findLongFailing } from '../../outbox/webhook/webhook-state.ts';
import type { AuditWatch } from './audit-watch.ts';

/*
 * Creates the daemon's own events that follow from states of the store: each step compares the state with the log of events and adds the
 * missing ones. The id of an event is derived from its occasion, so it exists once, whichever process runs the step and however often; a
 * crash between the state and the event loses nothing.
 *
 *   webhook.failing      webhook, beginning of its failures
 *   delivery.exhausted   delivery, number of its last attempt
 *   capture.resumed      the event capture.halted
 *   audit.stopped        the last seal
 *
 * `capture.halted` is written with the halt itself (capture/halt-event.ts).
 */

export interface OccasionOptions {
  claimant: Claimant;
  installation: Installation;
  outages: FailureLog;
  audit: Pick<AuditWatch, 'status'>;
  route(): Router;
  /** Called when something became due. */
  onDue(): void;
}

const EVERY_MS = 2_000;
const FAILING_AFTER_MS = 3_600_000;

/** Announces states that were not announced yet. */
export function createOccasions(options: OccasionOptions): Background {
  const { claimant, outages, onDue } = options;
  const { store } = claimant;
  const findStopped = createStopFinder(options);
  return createLoop({
    ...outages.part('events about this installation could not be written, trying again'),
    async step() {
      const events = [
        ...(await findFailing(store, options)),
        ...(await findResumed(store, options)),
        ...(await findStopped(store)),
      ];
      let made = 0;
      for (const event of events) made += await announceOnce(options, event);
      made += await announceExhausted(options);
      if (made > 0) onDue();
      return EVERY_MS;
    },
  });
}

/** Writes an event unless the log has it. Returns the number of its deliveries. */
async function announceOnce({ claimant, route }: OccasionOptions, event: DomainEvent): Promise<number> {
  const { store, cipher } = claimant;
  // `announce` checks again under the lock that capture also takes, so check first without it.
  const known = await store.rows('SELECT 1 FROM event_log WHERE id = ?', [event.id]);
  if (known.length > 0) return 0;
  return store.transaction((tx) => appendSystemEvent(tx, event, { route: route(), cipher }));
}

type Occasion = Omit<SystemEvent, 'installation' | 'occurredAtMs' | 'data'> & { data: object; atMs: number };

function toEvent({ installation }: OccasionOptions, { atMs, data, ...own }: Occasion): DomainEvent {
  return createSystemEvent({
    ...own,
    installation: installation.uuid,
    occurredAtMs: atMs,
    data: { ...data, timestamp: formatTimestamp(atMs) },
  });
}

async function findFailing(store: Session, options: OccasionOptions): Promise<DomainEvent[]> {
  const failing = await findLongFailing(store, FAILING_AFTER_MS);
  return failing.map(({ id, name, failingSince }) => {
    const since = formatTimestamp(fromSqlDatetime(failingSince));
    return toEvent(options, {
      type: 'webhook.failing',
      occasion: [String(id), since],
      atMs: systemClock.now(),
      entity: { table: 'webhooks', key: String(id) },
      data: { webhook_id: id, name, failing_since: since },
    });
  });
}

async function findResumed(store: Session, options: OccasionOptions): Promise<DomainEvent[]> {
  const ended = await findEndedHalt(store);
  if (!ended) return [];
  const { haltedEvent, haltedAtMs, isAccepted } = ended;
  const event = toEvent(options, {
    type: 'capture.resumed',
    occasion: [haltedEvent],
    atMs: systemClock.now(),
    entity: { table: 'checkpoint', key: '1' },
    data: { halted_event: haltedEvent, halted_at: formatTimestamp(haltedAtMs), accepted: isAccepted },
  });
  return [event];
}

/**
 * Nothing is sealed while the chain is broken, so every process finds the same last seal when it notices the break. Parts of the process
 * notice later than others that the chain was restored: until then the seal at the beginning is used.
 */
function createStopFinder(options: OccasionOptions): (store: Session) => Promise<DomainEvent[]> {
  let brokenAfter: number | null = null;
  return async (store) => {
    const { broken, stoppedForMs, unsealedAgeMs, lastSeal } = options.audit.status();
    if (broken === null) brokenAfter = null;
    else brokenAfter ??= (await readLastSeal(store))?.number ?? 0;
    if (brokenAfter === null && stoppedForMs === null) return [];
    const after = brokenAfter ?? lastSeal;
    const event = toEvent(options, {
      type: 'audit.stopped',
      occasion: [String(after)],
      atMs: systemClock.now(),
      entity: { table: 'seals', key: 'head' },
      data: {
        ...{ last_seal: after, why: broken === null ? 'behind' : 'broken', message: broken },
        unsealed_age_s: Math.round(unsealedAgeMs / 1_000),
      },
    });
    return [event];
  };
}

/** There may be many: an event that no webhook wants is not written. */
async function announceExhausted(options: OccasionOptions): Promise<number> {
  const { claimant, route } = options;
  const { store, cipher } = claimant;
  const found = (await listExhausted(store)).map((given) => ({ given, event: toExhausted(options, given) }));
  const wanted = found.filter(({ event }) => route()(event).length > 0);
  await dropExhausted(
    store,
    found.filter((each) => !wanted.includes(each)).map(({ given }) => given),
  );
  let made = 0;
  for (const { given, event } of wanted) {
    made += await store.transaction(async (tx) =>
      (await forgetExhausted(tx, given)) ? appendSystemEvent(tx, event, { route: route(), cipher }) : 0,
    );
  }
  return made;
}

function toExhausted(options: OccasionOptions, given: Exhausted): DomainEvent {
  const { deliveryId, attempt, webhookId, webhookName, eventId, eventType } = given;
  return toEvent(options, {
    type: exhaustedEvent,
    occasion: [String(deliveryId), String(attempt)],
    atMs: fromSqlDatetime(given.recordedAt),
    entity: { table: 'deliveries', key: String(deliveryId) },
    data: {
      ...{ delivery_id: deliveryId, webhook_id: webhookId, name: webhookName ?? String(webhookId) },
      ...{ event_id: eventId, event_type: eventType, attempts: attempt, outcome: given.outcome },
      ...{ response_status: given.responseStatus, reason: given.reason },
    },
  });
}

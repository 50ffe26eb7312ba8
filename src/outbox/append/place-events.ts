import type { DomainEvent } from '../../event/types.ts';
import type { Counters } from '../checkpoint.ts';
import type { ClaimedDelivery } from '../types.ts';
import type { PlacedEvent } from './append-statements.ts';
import type { Plan } from './guarded-writer.ts';

/** The result of an append. */
export interface Appended {
  /** Events that were new. */
  events: number;
  /** Events that the log already had; they were not written. */
  copies: number;
  deliveries: number;
  /** Events that an erasure covers: recorded without their payloads, and not sent. */
  erased: number;
  /** Deliveries that this process claimed in the same commit, to be sent now; those of a lane in order. */
  fresh: ClaimedDelivery[];
}

/** Events of a batch to write, and how many were left out. */
export interface Kept {
  events: readonly { event: DomainEvent; transactionId: string }[];
  copies: number;
}

/** Assigns positions in the log to events. */
export function placeEvents(kept: Kept, counters: Counters): PlacedEvent[] {
  return kept.events.map((entry, index) => ({ ...entry, seq: counters.nextEventSeq + index }));
}

/** The proof, after a lost answer, that the plan was committed. */
export function witnessOf(events: readonly PlacedEvent[]): Pick<Plan<unknown>, 'witness'> {
  const first = events[0];
  return first === undefined ? {} : { witness: { seq: first.seq, id: first.event.id } };
}

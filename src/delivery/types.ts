import type { ClaimedDelivery, Webhook } from '../outbox/types.ts';

/** One request to send: everything that an attempt needs. */
export interface Request extends Pick<
  Webhook,
  'url' | 'secrets' | 'headers' | 'timeoutMs' | 'legacySignature' | 'clientCertificate'
> {
  eventId: string;
  eventType: string;
  body: string;
}

/** Why there was no answer. The words are stable: the log, metrics and API contain them. */
export type FailureReason =
  'dns' | 'refused' | 'unreachable' | 'reset' | 'tls' | 'timeout' | 'protocol' | 'local' | 'other';

/** How an attempt ended. Expected outcomes are values; only an internal error throws. */
export type Outcome =
  | { kind: 'delivered'; status: number; responseBody: string; durationMs: number }
  /** Any other answer than 2xx. `retryAfterMs` is what the receiver asked for, not yet clamped. */
  | { kind: 'rejected'; status: number; responseBody: string; durationMs: number; retryAfterMs?: number }
  /** 410: the receiver asks for no more requests. */
  | { kind: 'gone'; status: 410; responseBody: string; durationMs: number }
  /** No complete answer; with the status where that much of it came. */
  | {
      kind: 'failed';
      reason: FailureReason;
      message: string;
      durationMs: number;
      status?: number;
      /** An idle connection died before a byte of the answer arrived: nothing is known about the endpoint. */
      idleConnectionDied?: true;
    }
  /** The address is not allowed; nothing was sent. */
  | { kind: 'forbidden'; message: string; durationMs: number };

/** The record of an attempt for the store. */
export interface Settlement {
  delivery: ClaimedDelivery;
  outcome: Outcome;
  /** Why it failed, in words (explain.ts); null for a success. */
  explanation: string | null;
  /** When the outcome was known, ms since 1970 UTC. */
  endedAtMs: number;
  next:
    | { kind: 'delivered' }
    /** Due again `delayMs` after `endedAtMs`. */
    | { kind: 'retry'; delayMs: number }
    /** The schedule is used up: visible, replayable, no longer tried; the next of its lane may go. */
    | { kind: 'exhausted' };
  /** Name and URL of the target: a row of the store. Absent when nothing was sent. */
  receiver?: number;
}

export interface OutcomeStore {
  /** Records outcomes in one transaction. Returns whether that made other deliveries due (the next of their lanes). */
  settle(settlements: readonly Settlement[]): Promise<boolean>;
  /** Releases claims that were not sent: they are due again at once, behind earlier deliveries of their lane. */
  release(deliveries: readonly ClaimedDelivery[]): Promise<void>;
  /** Disables a webhook that answered 410; its deliveries wait until an operator enables it. */
  disable(webhookId: number): Promise<void>;
}

/** How many deliveries of one webhook the dispatcher accepts now. */
export interface Want {
  webhookId: number;
  room: number;
  /** The last claim left some due deliveries: no query is needed whether anything is due. */
  hungry?: boolean;
}

export interface Claimed {
  /** Those of one lane in the order in which they are to be sent. */
  deliveries: readonly ClaimedDelivery[];
  /** When the next delivery of these webhooks is due, ms from now; undefined when none is pending. */
  nextDueInMs: number | undefined;
}

export interface DeliveryStore extends OutcomeStore {
  /** Claims due deliveries: retries, deliveries left by a restart, and those for which capture found no capacity. */
  claim(wants: readonly Want[]): Promise<Claimed>;
}

export interface Attempted {
  webhook: Webhook;
  delivery: ClaimedDelivery;
  outcome: Outcome;
  next: Settlement['next'];
}

/** What capture may hand over without a query. */
export interface Room {
  total: number;
  of(webhookId: number): number;
}

/** What is held in memory, for status and metrics. */
export interface DispatcherStats {
  inFlight: number;
  queued: number;
  /** Results that are not recorded in the store yet. */
  unsettled: number;
  webhooks: { webhookId: number; inFlight: number; queued: number; breaker: 'closed' | 'open' | 'probing' }[];
}

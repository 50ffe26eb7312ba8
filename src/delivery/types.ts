import type { ClaimedDelivery, Webhook } from '../outbox/types.ts';

/** What is to be sent once: everything an attempt needs, no more. */
export interface Request {
  eventId: string;
  eventType: string;
  url: string;
  body: string;
  /** Current secret first; a second one while a rotation overlaps. */
  secrets: readonly string[];
  headers: Readonly<Record<string, string>>;
  timeoutMs: number;
  legacySignature: boolean;
  /** By which of `delivery.client_certificates` the receiver knows us; null for none. */
  clientCertificate: string | null;
}

/** Why there was no answer. The words are stable: the log, metrics and API contain them. */
export type FailureReason =
  'dns' | 'refused' | 'unreachable' | 'reset' | 'tls' | 'timeout' | 'protocol' | 'local' | 'other';

/** How an attempt ended. Expected ends are values; only a fault of ours throws. */
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
      /** A connection that had been idle died before a byte of the answer came: nothing is known of the endpoint. */
      idleConnectionDied?: true;
    }
  /** The address is not allowed; nothing was sent. */
  | { kind: 'forbidden'; message: string; durationMs: number };

/** What the store is to record of an attempt. */
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
  /** Name and URL that it was sent to: a row of the store. Absent where nothing was sent. */
  receiver?: number;
}

export interface OutcomeStore {
  /** Records outcomes in one transaction. Returns whether that made other deliveries due (the next of their lanes). */
  settle(settlements: readonly Settlement[]): Promise<boolean>;
  /** Takes back claims that were not sent: due again at once, behind an earlier one of their lane. */
  release(deliveries: readonly ClaimedDelivery[]): Promise<void>;
  /** Disables a webhook that answered 410; its deliveries wait until a person enables it. */
  disable(webhookId: number): Promise<void>;
}

/** How many deliveries of one webhook the dispatcher takes now. */
export interface Want {
  webhookId: number;
  room: number;
  /** The last claim left some behind: it need not be asked first whether anything is due. */
  hungry?: boolean;
}

export interface Claimed {
  /** Those of one lane in the order in which they are to be sent. */
  deliveries: readonly ClaimedDelivery[];
  /** When the next one of the wanted webhooks is due, ms from now; undefined when none is pending. */
  nextDueInMs: number | undefined;
}

export interface DeliveryStore extends OutcomeStore {
  /** Claims what is due: retries, what a restart left, what capture found no room for. */
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
  /** Results that the store does not have yet. */
  unsettled: number;
  webhooks: { webhookId: number; inFlight: number; queued: number; breaker: 'closed' | 'open' | 'probing' }[];
}

import type { KeyGraph } from '../binlog/foreign-key/read-keys.ts';
import type { CleanStop } from '../binlog/position/verdict.ts';
import type { Baseline, Flavour, Position } from '../binlog/types.ts';
import type { WebhookSettings } from '../config/types.ts';
import type { Halt } from '../binlog/halt.ts';
import type { Store } from '../db/connection/client.ts';
import type { Cipher } from '../crypto/cipher.ts';
import type { PayloadKey } from './payload/subject-keys.ts';

/** A subscription, as the engine uses it. Only here are secrets in the clear. */
export interface Webhook extends WebhookSettings {
  id: number;
  name: string;
  url: string;
  /** Event types, `noun.*`, or `*`. */
  events: readonly string[];
  managedBy: 'file' | 'database';
  /** Current secret first; a second one while a rotation overlaps. */
  secrets: readonly string[];
  /** Time of the first failure after the last success, ms since 1970 UTC; null or absent while deliveries succeed. */
  failingSinceMs?: number | null;
  /** Its present name and URL as a row of `receivers`; absent if this object is not used for sending. */
  receiver?: number;
}

/**
 * Whether events are sent to it: `active`; `paused` or `inactive` by an operator, `disabled` by the engine; `unfit`: a column of its row cannot be used,
 * and its deliveries wait until it is corrected.
 */
export type WebhookStanding = 'active' | 'paused' | 'inactive' | 'disabled' | 'unfit';

/** A webhook with the fields that only the outbox and the daemon need. */
export interface Subscription extends Webhook {
  /** Whether its events are queued: while it is active, and while the engine has disabled it (they wait until it is enabled). */
  collects: boolean;
  /** Why nothing is sent to it, or `active`. */
  standing: WebhookStanding;
  /** Time of the first failure after the last success, ms UTC; null while deliveries succeed. */
  failingSinceMs: number | null;
}

/** A delivery that this process may send now: claimed in the store under `claim` until it is settled or the claim expires. */
export interface ClaimedDelivery {
  id: number;
  webhookId: number;
  eventId: string;
  eventType: string;
  /** Deliveries of one lane and webhook are sent one after the other; empty when the webhook has `order: none`. */
  lane: string;
  body: string;
  /** 1 for the first; restarts when a person sends the delivery again. */
  attempt: number;
  /** When the change was committed at the source, ms UTC: for the latency histogram. */
  occurredAtMs: number;
  /** Encrypts the answer like the body; absent when both are stored in the clear. */
  key?: PayloadKey;
}

/** A process that claims. */
export interface Claimant {
  store: Store;
  /** Decrypts and encrypts stored values. */
  cipher: Cipher;
  /** A unique name, different after each start: at most 64 ASCII characters. */
  owner: string;
  /** How long a claim holds, ms: longer than a delivery waits in memory and its request may take together. */
  claimMs: number;
}

/** How many new deliveries the claimant accepts at once. */
export interface Room {
  total: number;
  of(webhookId: number): number;
}

/** The outcome of an attempt as the log records it. */
export interface AttemptOutcome {
  kind: 'delivered' | 'rejected' | 'gone' | 'failed' | 'forbidden';
  durationMs: number;
  status?: number;
  responseBody?: string;
  /** A stable word, when there was no answer. */
  reason?: string;
}

/** The record of an attempt for the store. */
export interface Settlement {
  delivery: ClaimedDelivery;
  outcome: AttemptOutcome;
  /** Why it failed, in words without secrets and patients' data; null for a success. */
  explanation?: string | null;
  /** When the outcome was known, ms UTC. */
  endedAtMs: number;
  next: { kind: 'delivered' } | { kind: 'retry'; delayMs: number } | { kind: 'exhausted' };
  /** Name and URL of the target: a row of `receivers`. Absent when nothing was sent. */
  receiver?: number;
}

/** The position from which capture continues, and the lineage of the log. */
export interface Checkpoint {
  lineage: string;
  flavour: Flavour;
  /** Null if the server has none (MariaDB). */
  serverUuid: string | null;
  position: Position;
  /** Commit time at the source of the last transaction before it, ms UTC; null before the first. */
  committedAtMs: number | null;
  /** A time that the source's clock had passed before the next transactions were committed, ms UTC; null if unknown. */
  passedMs: number | null;
  /** The schema history of the watched tables, if it has changed since the last checkpoint. */
  baseline?: Baseline;
  /** The foreign keys and triggers in force, if they have changed since the last checkpoint. */
  keys?: KeysInForce;
}

/** The foreign keys of watched tables and of their parents at a position in the log, and the triggers that replace them. */
export interface KeysInForce {
  graph: KeyGraph;
  /** Names, as triggerName returns them. */
  triggers: readonly string[];
}

/** The checkpoint's row, as `status` shows it. */
export interface CaptureState {
  /** Null before the first run. */
  checkpoint: Checkpoint | null;
  /** How often an operator moved the position. */
  epoch: number;
  /** Of the epoch and the position (checkpoint-mark.ts). */
  mark: Buffer | null;
  updatedAtMs: number;
  /** Ids of transactions whose loss an operator accepted. */
  waived: readonly string[];
  /** The schema history of the watched tables up to the checkpoint. */
  baseline: Baseline;
  /** The foreign keys and triggers at the checkpoint; null before they were first read. */
  keys: KeysInForce | null;
  /** How capture was stopped, if no process has moved the checkpoint since; otherwise null. */
  cleanStop: CleanStop | null;
  /** Why capture stopped; null while it runs. */
  halt: (Halt & { atMs: number }) | null;
}

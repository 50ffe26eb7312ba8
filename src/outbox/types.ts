import type { KeyGraph } from '../binlog/foreign-key/read-keys.ts';
import type { CleanStop } from '../binlog/position/verdict.ts';
import type { Baseline, Flavour, Position } from '../binlog/types.ts';
import type { Filter } from '../config/types.ts';
import type { Halt } from '../binlog/halt.ts';
import type { Store } from '../db/connection/client.ts';
import type { Cipher } from '../crypto/cipher.ts';
import type { PayloadKey } from './payload/subject-keys.ts';

/** A subscription, as the engine uses it. Secrets are in the clear here and nowhere else. */
export interface Webhook {
  id: number;
  name: string;
  url: string;
  /** Event types, `noun.*`, or `*`. */
  events: readonly string[];
  isActive: boolean;
  managedBy: 'file' | 'database';
  /** Current secret first; a second one while a rotation overlaps. */
  secrets: readonly string[];
  filter: Filter | null;
  fields: readonly string[] | null;
  headers: Readonly<Record<string, string>>;
  order: 'entity' | 'none';
  maxInFlight: number;
  /** Requests a second; null is without a limit. */
  ratePerSecond: number | null;
  timeoutMs: number;
  legacySignature: boolean;
  /** A name in `delivery.client_certificates`; null for none. */
  clientCertificate: string | null;
  /** Since when every attempt has failed, ms since 1970 UTC; null or absent while it is well. */
  failingSinceMs?: number | null;
  /** Its present name and URL as a row of `receivers`; absent where nothing is sent by this object. */
  receiver?: number;
}

/**
 * Whether it is sent to: `active`; `paused` or `inactive` by a person, `disabled` by the engine; `unfit`: a column of its row cannot be used, and its
 * deliveries wait until that is corrected.
 */
export type WebhookStanding = 'active' | 'paused' | 'inactive' | 'disabled' | 'unfit';

/** A webhook with what only the outbox and the daemon need to know of it. */
export interface Subscription extends Webhook {
  /** Whether its events are queued: while it is active, and while the engine has disabled it (they wait until it is enabled). */
  collects: boolean;
  /** Why it is sent nothing, or `active`. */
  standing: WebhookStanding;
  /** Since when every attempt has failed, ms UTC; null while it is well. */
  failingSinceMs: number | null;
}

/** A delivery that this process may send now: claimed in the store under `claim` until it is settled or the claim expires. */
export interface ClaimedDelivery {
  id: number;
  webhookId: number;
  eventId: string;
  eventType: string;
  /** Deliveries of one lane and webhook go one after the other; empty when the webhook has `order: none`. */
  lane: string;
  body: string;
  /** 1 for the first; counted anew when a person has the delivery sent again. */
  attempt: number;
  /** When the change was committed at the source, ms UTC: for the latency histogram. */
  occurredAtMs: number;
  /** Encrypts the answer as it did the body; without one, both are kept in the clear. */
  key?: PayloadKey;
}

/** A process that claims. */
export interface Claimant {
  store: Store;
  /** Opens and seals what the store has. */
  cipher: Cipher;
  /** A name that no other process has, nor this one's next life: at most 64 ASCII characters. */
  owner: string;
  /** How long a claim holds, ms: longer than a delivery waits in memory and its request may take together. */
  claimMs: number;
}

/** How many fresh deliveries the claimant takes at once. */
export interface Room {
  total: number;
  of(webhookId: number): number;
}

/** How an attempt ended, as far as the log records it. */
export interface AttemptOutcome {
  kind: 'delivered' | 'rejected' | 'gone' | 'failed' | 'forbidden';
  durationMs: number;
  status?: number;
  responseBody?: string;
  /** A stable word, where there was no answer. */
  reason?: string;
}

/** What the store is to record of an attempt. */
export interface Settlement {
  delivery: ClaimedDelivery;
  outcome: AttemptOutcome;
  /** Why it failed, in words without secrets and patients' data; null for a success. */
  explanation?: string | null;
  /** When the outcome was known, ms UTC. */
  endedAtMs: number;
  next: { kind: 'delivered' } | { kind: 'retry'; delayMs: number } | { kind: 'exhausted' };
  /** Name and URL that it was sent to: a row of `receivers`. Absent where nothing was sent. */
  receiver?: number;
}

/** Where capture continues, and whose log that is. */
export interface Checkpoint {
  lineage: string;
  flavour: Flavour;
  /** Null where the server has none (MariaDB). */
  serverUuid: string | null;
  position: Position;
  /** Commit time at the source of the last transaction before it, ms UTC; null before the first. */
  committedAtMs: number | null;
  /** A moment that the source's clock had passed before what follows was committed, ms UTC; null where none is known. */
  passedMs: number | null;
  /** Where it has changed since the last checkpoint: what the log has shown of the watched tables. */
  baseline?: Baseline;
  /** Where they have changed since the last checkpoint: the foreign keys and triggers in force. */
  keys?: KeysInForce;
}

/** The foreign keys of watched tables and of their parents at a place in the log, and the triggers that are in their place. */
export interface KeysInForce {
  graph: KeyGraph;
  /** Names, as triggerName returns them. */
  triggers: readonly string[];
}

/** The checkpoint's row, as `status` shows it. */
export interface CaptureState {
  /** Null before the first run. */
  checkpoint: Checkpoint | null;
  /** How often a person moved the position. */
  epoch: number;
  /** Of the epoch and the position (checkpoint-mark.ts). */
  mark: Buffer | null;
  updatedAtMs: number;
  /** Ids of transactions whose loss a person accepted. */
  waived: readonly string[];
  /** What the log has shown of the watched tables up to the checkpoint. */
  baseline: Baseline;
  /** The foreign keys and triggers at the checkpoint; null before they were first read. */
  keys: KeysInForce | null;
  /** How capture was stopped, where no process has moved the checkpoint since; else null. */
  cleanStop: CleanStop | null;
  /** Why capture stopped; null while it runs. */
  halt: (Halt & { atMs: number }) | null;
}

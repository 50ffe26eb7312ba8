import type { Head } from '../seal/head.ts';
import type { Flaw } from './flaw.ts';

/** Properties that cannot be proved without data from outside the store. */
export type Unproved =
  /** That the end was not cut off and the whole log was not rewritten: a head proves it up to itself. */
  | 'end'
  /** That the key is the original one: a head or a pinned key proves it. */
  | 'key'
  /**
   * That SQL added or edited no event before the first seal of its row: events have no marks. With encryption at rest an added event is
   * found, because its payload cannot be decrypted. Deliveries have marks, which are proved before they are sent.
   */
  | 'origin';

export interface Verification {
  ok: boolean;
  flaw: Flaw | null;
  /** Properties that this verification could not prove, whatever its result. */
  unproved: readonly Unproved[];
  /** Seals and entries that were proved before the flaw. */
  seals: number;
  entries: number;
  /** Deliveries that were compared with their attempts. */
  deliveries: number;
  /** Payloads of events: proved to be the captured ones, or removed by retention or erasure. */
  payloads: { proved: number; pruned: number; erased: number };
  /** Acts that the daemon recorded as done by SQL. */
  sqlActs: number;
  /** The first 20 deliveries that the daemon did not send because SQL had added or edited them. */
  refused: number[];
  /** Attempts and acts written since the last seal. */
  unsealed: number;
  firstSeal: number;
  lastSeal: number;
  lastHash: string;
  /** Whether a head from outside the store was compared. */
  headCompared: boolean;
  fingerprint: string | null;
}

export interface VerifyOptions {
  /** From outside the store: the chain must contain it. */
  head?: Head;
  /** From outside the store: the fingerprint of the key that must have signed the chain. */
  fingerprint?: string;
  onProgress?(done: number, total: number): void;
}

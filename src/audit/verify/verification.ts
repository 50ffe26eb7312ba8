import type { Head } from '../seal/head.ts';
import type { Flaw } from './flaw.ts';

/** What cannot be proved without something from elsewhere. */
export type Unproved =
  /** That nothing was cut off at the end, and that the whole was not rewritten: a head proves it up to itself. */
  | 'end'
  /** That the key is the one of the beginning: a head or a pinned key proves it. */
  | 'key'
  /**
   * That SQL added or edited no event before the first seal of its row: events have no marks. With encryption at rest an added event is
   * found, because its payload does not open. Deliveries have marks, which are proved before they are sent.
   */
  | 'origin';

export interface Verification {
  ok: boolean;
  flaw: Flaw | null;
  /** What this verification could not prove, whatever it found. */
  unproved: readonly Unproved[];
  /** Seals and entries that were proved before the flaw. */
  seals: number;
  entries: number;
  /** Deliveries that were compared with their attempts. */
  deliveries: number;
  /** Payloads of events: proved to be what was captured, or gone by retention or erasure. */
  payloads: { proved: number; pruned: number; erased: number };
  /** Acts that the daemon found done by SQL. */
  sqlActs: number;
  /** Deliveries that the daemon did not send, because SQL had added or edited them: the first 20. */
  refused: number[];
  /** Attempts and acts written since the last seal. */
  unsealed: number;
  firstSeal: number;
  lastSeal: number;
  lastHash: string;
  /** Whether a head from elsewhere was compared. */
  headCompared: boolean;
  fingerprint: string | null;
}

export interface VerifyOptions {
  /** From elsewhere: the chain must contain it. */
  head?: Head;
  /** From elsewhere: the fingerprint of the key that must have signed the chain. */
  fingerprint?: string;
  onProgress?(done: number, total: number): void;
}

import type { KeyObject } from 'node:crypto';
import type { Marker } from '../../db/proof/marks.ts';
import type { SealedLog } from '../seal/entry.ts';
import type { Head } from '../seal/head.ts';
import type { GappedLog, Progress } from '../seal/progress.ts';
import type { Excuses } from './excuses.ts';
import type { KeyCache } from './key-cache.ts';
import type { Verification } from './verification.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/** State that the parts of one verification share. */
export interface SealWalk {
  vault: EncryptedStore;
  publicKey: KeyObject;
  marker: Marker;
  excuses: Excuses;
  keys: KeyCache;
  /** Progress of the last seal. */
  progress: Progress;
  head: Head | undefined;
  result: Verification;
  /** Ids passed without a leaf: a later seal, or a range that is still open, must contain them. */
  skipped: Record<GappedLog, Set<number>>;
  /** How far the rows of each log are compared, or are about to be. */
  comparedTo: Record<SealedLog, number>;
  nowMs: number;
  onEntries(count: number): void;
}

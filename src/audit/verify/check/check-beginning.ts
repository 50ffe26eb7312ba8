import { fingerprintOf, stageOf, type SealState } from '../../../db/proof/seal-key.ts';
import { anchorSeal, sealHash, type Seal } from '../../seal/chain.ts';
import { progressHash } from '../../seal/progress.ts';
import type { VerifyOptions } from '../verification.ts';
import type { Verification } from '../verification.ts';
import { fail } from '../flaw.ts';

interface Beginning {
  state: SealState;
  options: VerifyOptions;
  result: Verification;
}

/** Checks the signed beginning, the key, and whether a head can be compared at all. */
export function checkBeginning({ state, options, result }: Beginning, lastSeal: number): void {
  const { anchor, publicKey } = state;
  if (options.fingerprint !== undefined && options.fingerprint !== fingerprintOf(publicKey)) {
    fail('rewritten', {
      message: `the log is signed by the key ${fingerprintOf(publicKey)}, the key that was given is ${options.fingerprint}`,
    });
  }
  const stage = stageOf(state);
  if (stage === null) {
    fail('forged', {
      message: 'the beginning of the chain (seal_state) is not signed by the key of the installation',
    });
  }
  const seal = anchorSeal(state);
  if (seal && (seal.number !== anchor.number || sealHash(seal) !== anchor.hash || !fitsProgress(seal)))
    fail('edited', { message: 'the beginning of the chain (seal_state) was edited', fields: ['anchor'] });
  const isEmpty = lastSeal === anchor.number;
  if (stage === 'sealed' && anchor.number === 0 && isEmpty)
    fail('truncated', {
      message: 'all seals were deleted (seals): the beginning of the chain is signed as one that has seals',
    });
  const { head } = options;
  if (!head) return;
  if (head.publicKey !== publicKey) {
    fail('rewritten', {
      message: `the log is signed by the key ${fingerprintOf(publicKey)}, the head by ${head.fingerprint}`,
    });
  }
  if (head.number > lastSeal)
    fail('truncated', { message: `the chain ends at seal ${lastSeal}, the head is seal ${head.number}` });
  if (head.number === anchor.number && head.hash === anchor.hash) result.headCompared = true;
  else if (head.number <= anchor.number) {
    fail('rewritten', {
      message: `the chain begins after seal ${anchor.number}, so the head (seal ${head.number}) proves nothing: compare a newer one`,
    });
  }
}

function fitsProgress({ progress, progressHash: hash }: Seal): boolean {
  return progress === null ? hash === null : progressHash(progress) === hash;
}

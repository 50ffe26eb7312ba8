import type { Session } from '../../db/connection/client.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import { sleep } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import type { Erasures } from '../../outbox/payload/destroy-keys.ts';
import { eraseAction } from '../../outbox/payload/payload-acts.ts';
import type { KeySlot } from '../../outbox/payload/subject-keys.ts';
import { readProvedProgress } from '../seal/chain.ts';
import { sealOnce } from '../seal/seal.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/** Returns the keys that erasures gave up, according to acts that are marked and sealed. */
export function sealedErasures({ cipher }: Pick<EncryptedStore, 'cipher'>): Erasures {
  return async (session, slots) => {
    const acts = [
      ...(await readMarkedActs(session, cipher, { action: eraseAction })),
      ...(await readMarkedActs(session, cipher, { action: 'store.adopt' })),
    ];
    const named = new Set<string>();
    const wanted = new Set(slots);
    for (const { id, details } of acts) {
      const keys = ((details?.['keys'] ?? []) as KeySlot[]).filter(({ slot }) => wanted.has(slot));
      if (keys.length > 0 && (await isSealed(session, id))) for (const { slot } of keys) named.add(slot);
    }
    return named;
  };
}

async function isSealed(session: Session, act: number): Promise<boolean> {
  const progress = await readProvedProgress(session);
  return progress !== undefined && act <= progress.audit_log.to;
}

const sealTries = 50;
const sealEveryMs = 100;

/**
 * Seals up to an act, or stops trying after 5 s: the daemon seals it later. Returns whether the act is sealed. Returns false also if the
 * chain is broken (ERR_AUDIT), because the caller's other steps do not wait for its repair.
 */
export async function sealAct(vault: EncryptedStore, act: number): Promise<boolean> {
  try {
    for (let tries = 0; tries < sealTries; tries += 1) {
      if (await isSealed(vault.store, act)) return true;
      const sealed = await sealOnce(vault);
      if (!sealed) await sleep(sealEveryMs);
    }
    return false;
  } catch (error) {
    if (error instanceof AppError && error.code === 'ERR_AUDIT') return false;
    throw error;
  }
}

import type { Session } from '../db/connection/client.ts';
import { Marker } from '../db/proof/marks.ts';
import {
  fingerprintOf,
  isStoreUsed,
  markKeyOf,
  readSealState,
  stageOf,
  toPublicKey,
  type SealState,
} from '../db/proof/seal-key.ts';
import { parseStored } from '../db/proof/stored-json.ts';
import { fromSqlDatetime } from '../outbox/sql-datetime.ts';
import { readAcceptedEntries } from './seal/accepted-entries.ts';
import { anchorSeal, readLastSeal } from './seal/chain.ts';
import { nothingSealed, type Progress } from './seal/progress.ts';
import { readReplayRecords } from './act/replay-acts.ts';
import { readClock } from './seal/unsealed.ts';
import { checkActs } from './verify/check/check-acts.ts';
import { checkBeginning } from './verify/check/check-beginning.ts';
import { checkDeliveries } from './verify/delivery/check-deliveries.ts';
import { checkPlaced } from './verify/delivery/check-placed.ts';
import { checkDocuments } from './verify/check/check-documents.ts';
import { checkIndexes, checkSchema } from './verify/check/check-schema.ts';
import { checkUnsealed } from './verify/check/check-marks.ts';
import { Excuses } from './verify/excuses.ts';
import { FailingSince } from './verify/delivery/failing-since.ts';
import { fail, toFlaw } from './verify/flaw.ts';
import { KeyCache } from './verify/key-cache.ts';
import type { Verification, VerifyOptions } from './verify/verification.ts';
import { walkSeals } from './verify/walk-seals.ts';
import type { SealWalk } from './verify/seal-walk.ts';
import { readRecordedStates } from './act/webhook-state.ts';
import type { EncryptedStore } from '../db/connection/encrypted-store.ts';

/** Walks the chain from its beginning and stops at the first flaw. Reads only; sealing and deliveries continue meanwhile. */
export async function verifyLog(vault: EncryptedStore, options: VerifyOptions = {}): Promise<Verification> {
  for (;;) {
    const state = await readSealState(vault.store);
    const result = await walk(vault, state, options);
    const now = result.ok ? state : await readSealState(vault.store);
    // If the anchor has moved, retention dropped the beginning of the chain meanwhile and the missing rows were rightly missing: walk
    // again.
    if (now?.anchor.number === state?.anchor.number) return result;
  }
}

async function walk(
  vault: EncryptedStore,
  state: SealState | undefined,
  options: VerifyOptions,
): Promise<Verification> {
  const result = emptyResult(state, options);
  try {
    if (state) await walkChain({ vault, state, options, result });
    else if (options.head)
      fail('truncated', { message: `there is no sealed log, and the head is seal ${options.head.number}` });
    else if (options.fingerprint !== undefined)
      fail('truncated', { message: 'there is no sealed log, and a key was given' });
    else if (await isStoreUsed(vault.store))
      fail('truncated', {
        message: `nothing is proved: the signing key and all seals are missing (seal_state, seals), and ${await countEntries(vault.store)} attempts and acts are there`,
      });
    if (state) await checkIndexes(vault.store);
  } catch (error) {
    const flaw = toFlaw(error);
    if (!flaw) throw error;
    return { ...result, ok: false, flaw };
  }
  return result;
}

function emptyResult(state: SealState | undefined, { head, fingerprint }: VerifyOptions): Verification {
  return {
    ok: true,
    flaw: null,
    unproved: [
      ...(head ? [] : ['end' as const]),
      ...((head ?? fingerprint) ? [] : ['key' as const]),
      'origin',
    ],
    seals: 0,
    entries: 0,
    deliveries: 0,
    payloads: { proved: 0, pruned: 0, erased: 0 },
    sqlActs: 0,
    refused: [],
    unsealed: 0,
    firstSeal: (state?.anchor.number ?? 0) + 1,
    lastSeal: state?.anchor.number ?? 0,
    lastHash: state?.anchor.hash ?? '',
    headCompared: false,
    fingerprint: state ? fingerprintOf(state.publicKey) : null,
  };
}

interface Chain {
  vault: EncryptedStore;
  state: SealState;
  options: VerifyOptions;
  result: Verification;
}

async function walkChain(chain: Chain): Promise<void> {
  const { vault, state, options, result } = chain;
  const { store, cipher } = vault;
  const last = await readLastSeal(store);
  const to = Math.max(
    last?.number ?? 0,
    (parseStored('seal_state.progress', state.oldProgress, 1) as { seals: number }).seals,
  );
  checkBeginning(chain, to);
  await checkSchema(store);
  await checkDocuments(store);
  const marker = new Marker(markKeyOf(state, cipher));
  const excuses = new Excuses(store, marker);
  await excuses.read();
  const dropped = anchorSeal(state)?.progress ?? null;
  const progress = last?.progress ?? dropped ?? (await progressBeforeSeals(store, state, marker));
  const total = await countWork(store);
  let done = 0;
  const onDone = (count: number): void => options.onProgress?.((done += count), Math.max(total, done));
  const seals: SealWalk = {
    ...{ vault, marker, excuses, progress, result, head: options.head },
    publicKey: toPublicKey(state.publicKey),
    nowMs: fromSqlDatetime(await readClock(store)),
    keys: new KeyCache(store, cipher),
    skipped: { attempts: new Set(), audit_log: new Set() },
    comparedTo: comparedBefore(progress, dropped),
    onEntries: onDone,
  };
  await walkSeals(seals, { anchor: state.anchor.number, to });
  const checked = { vault, marker, progress, result };
  await checkUnsealed(checked, 'attempts');
  await checkUnsealed(checked, 'audit_log');
  if (!last && state.anchor.number === 0 && (await isStoreUsed(store))) {
    fail('truncated', {
      message: `nothing is proved: no seal is there, and ${result.unsealed} attempts and acts are. A daemon makes the first within seconds`,
    });
  }
  if (!last || last.version === 1) return;
  const replays = await readReplayRecords(store, marker);
  await checkDeliveries({
    ...{ session: store, marker, excuses, progress, droppedTo: deliveriesDroppedTo(state, progress) },
    webhooks: await readRecordedStates(store, marker),
    failing: await FailingSince.read({
      session: store,
      marker,
      knownFrom: await knownFrom(store, state, progress),
    }),
    onDeliveries(count) {
      result.deliveries += count;
      onDone(count);
    },
  });
  await checkPlaced(checked);
  await checkActs({ vault, marker, excuses, replays }, state);
}

/** Without a seal of version 2, all rows are from version f84be48 and have no marks, unless a later version created the key. */
async function progressBeforeSeals(session: Session, state: SealState, marker: Marker): Promise<Progress> {
  const { oldProgress: text } = state;
  if (stageOf(state) !== 'old') {
    const { attempts, audit_log } = await readAcceptedEntries(session, marker);
    return { ...nothingSealed, unmarked: { attempts, audit_log } };
  }
  const old = parseStored('seal_state.progress', text, 1) as Pick<Progress, 'attempts' | 'audit_log'>;
  return {
    ...nothingSealed,
    attempts: old.attempts,
    audit_log: old.audit_log,
    old: { attempts: old.attempts.to, audit_log: old.audit_log.to, delivery_log: Number.MAX_SAFE_INTEGER },
    unmarked: { attempts: Number.MAX_SAFE_INTEGER, audit_log: Number.MAX_SAFE_INTEGER },
  };
}

/** A seal of version 1 does not record the range of deliveries; its attempts belong to deliveries of version f84be48. */
function deliveriesDroppedTo(state: SealState, { old }: Progress): number | null {
  if (state.anchor.number === 0) return null;
  return anchorSeal(state)?.progress?.delivery_log.to ?? old.delivery_log;
}

/** Time up to which attempts may have been removed by retention, or may lack the time of recording, as those of version f84be48 do. */
async function knownFrom(session: Session, state: SealState, { unmarked }: Progress): Promise<string | null> {
  const [first] =
    unmarked.attempts === 0
      ? []
      : await session.rows<{ at: string | null }>(
          `SELECT COALESCE((SELECT recorded_at FROM attempts WHERE id > ? ORDER BY id LIMIT 1), UTC_TIMESTAMP(3)) AS at`,
          [unmarked.attempts],
        );
  const moments = [anchorSeal(state)?.sealedAt, first?.at].filter((at) => typeof at === 'string');
  return moments.toSorted().at(-1) ?? null;
}

function comparedBefore(progress: Progress, dropped: Progress | null): SealWalk['comparedTo'] {
  const to = (log: 'attempts' | 'audit_log'): number => dropped?.[log].to ?? progress.old[log];
  return {
    attempts: to('attempts'),
    audit_log: to('audit_log'),
    // Rows that retention has not reached yet are compared with their attempts.
    event_log: dropped?.event_log.to ?? Number.MIN_SAFE_INTEGER,
    delivery_log: dropped?.delivery_log.to ?? Number.MIN_SAFE_INTEGER,
  };
}

async function countEntries(session: Session): Promise<number> {
  const [row] = await session.rows<{ n: number }>(
    'SELECT (SELECT COUNT(*) FROM attempts) + (SELECT COUNT(*) FROM audit_log) AS n',
  );
  return row!.n;
}

async function countWork(session: Session): Promise<number> {
  const [row] = await session.rows<{ n: number }>(
    `SELECT COALESCE((SELECT SUM(entries) FROM seals), 0) + COALESCE((SELECT MAX(id) - MIN(id) + 1 FROM delivery_log), 0)
       + 0e0 AS n`,
  );
  return row!.n;
}

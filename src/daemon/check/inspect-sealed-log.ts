import { broken, proveEnd, readLastSeal } from '../../audit/seal/chain.ts';
import { missingLog, requirePinnedKey } from '../../audit/seal/pinned-key.ts';
import { isSealingStopped, readUnsealedAge, unsealedLimitMs } from '../../audit/seal/unsealed-age.ts';
import { editedCheckpointRemedy } from '../../binlog/remedy.ts';
import type { CheckResult } from '../../binlog/preflight/preflight.ts';
import type { Config } from '../../config/types.ts';
import type { Session } from '../../db/connection/client.ts';
import { openCipher } from '../../crypto/cipher.ts';
import { isStoreUsed, lostRemedy, readSealState } from '../../db/proof/seal-key.ts';
import { isInForce } from '../../db/connection/lease.ts';
import { readCaptureState } from '../../outbox/checkpoint.ts';
import { isPositionProved } from '../../outbox/checkpoint-mark.ts';
import { formatDuration } from '../../lib/duration.ts';
import { appErrorWithin } from '../../lib/errors.ts';
import { refusalWithin } from '../../lib/server-error.ts';

type Finding = Pick<CheckResult, 'level' | 'detail' | 'remedy'>;

export type SealedLogConfig = Pick<Config, 'audit'> & {
  store: Pick<Config['store'], 'encryptionKeys' | 'keyFile'>;
};

const noSchema = 1049;
const noColumn = 1054;
const noTable = 1146;

/**
 * The line of `check` about the sealed log: whether the signing key can be decrypted, the end of the chain is valid and entries are sealed
 * in time. Reads only, and waits for no row lock. Errors of the store become a finding; only a fault of this program throws.
 */
export async function inspectSealedLog(store: Session, config: SealedLogConfig): Promise<CheckResult> {
  return { id: 'sealed-log', title: 'Sealed log', ...(await check(store, config)) };
}

async function check(store: Session, config: SealedLogConfig): Promise<Finding> {
  try {
    if (!(await isMigrated(store))) return unmade(config);
    return (await checkChain(store, config)) ?? (await checkAge(store, config));
  } catch (error) {
    // A missing schema refuses the connection: the error number is among the causes of ERR_STORE_UNREACHABLE.
    const number = refusalWithin(error)?.errno;
    const known = appErrorWithin(error);
    if (number === noSchema) return unmade(config);
    if (number === noTable) return fail('A table of the sealed log is missing.', missingRemedy);
    if (number === noColumn)
      return warn('The tables are of an older version.', 'odontology-webhooks migrate');
    if (known && !known.code.startsWith('ERR_STORE_'))
      return fail(`Nothing is sealed: ${known.message}.`, known.remedy);
    if (number === undefined && !known) throw error;
    return skip('The store cannot be asked.');
  }
}

/** The finding for a store that has no tables. */
function unmade({ audit: { key } }: SealedLogConfig): Finding {
  if (key === null) return pass('Sealing begins with the first `run`.');
  const { message, remedy } = missingLog(key);
  return fail(`${message}.`, remedy);
}

const missingRemedy =
  'Run `odontology-webhooks migrate`. If the line stays, the table was removed: put it back from a backup of the store.';

async function isMigrated(store: Session): Promise<boolean> {
  const found = await store.rows(
    "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'checkpoint'",
  );
  return found.length > 0;
}

/**
 * Checks the key, the end of the chain and the checkpoint. Returns null if they are valid. Throws AppError ERR_AUDIT and ERR_SECRET_KEY, as
 * sealing does.
 */
async function checkChain(store: Session, { audit, store: { encryptionKeys, keyFile } }: SealedLogConfig) {
  await requirePinnedKey(store, audit.key);
  const cipher = openCipher({ encryptionKeys, keyFile });
  const state = await readSealState(store);
  if (!state) {
    if (await isStoreUsed(store)) throw broken('its signing key is missing', lostRemedy);
    return pass('Nothing is to be sealed yet: the signing key is made with the first entry.');
  }
  await proveEnd(store, state, { cipher, memory: {} });
  if (await isPositionProved(store, cipher, await readCaptureState(store))) return null;
  return fail('The position of capture (checkpoint) was edited by SQL.', editedCheckpointRemedy);
}

/** How far sealing is behind, and which settings weaken it. */
async function checkAge(store: Session, { audit, store: { encryptionKeys } }: SealedLogConfig) {
  const last = await readLastSeal(store);
  const runs = await isDaemonRunning(store);
  if (last?.version === 1)
    return warn(
      `Seal ${last.number} is of version 1, which covers attempts and acts only: events and deliveries are not sealed yet.`,
      runs ? lockRemedy : 'odontology-webhooks run -- its first seal takes the store over',
    );
  const age = await readUnsealedAge(store);
  if (isSealingStopped(age, unsealedLimitMs(audit.sealIntervalMs))) {
    const behind = `The oldest entry without a seal is ${spell(age.ageMs)} old`;
    return runs
      ? fail(`${behind}, and a daemon runs: sealing has stopped.`, lockRemedy)
      : warn(`${behind}: no daemon runs, and what is not sealed can be edited.`, 'odontology-webhooks run');
  }
  const ending = last ? `Up to date, ${spell(age.sealAgeMs)} after seal ${last.number}.` : 'No seal yet.';
  if (encryptionKeys.length === 0)
    return warn(
      `${ending} The signing key is stored in the clear: read access to the store is enough to sign a forged log.`,
      'Set store.encryption_key; `run` encrypts the signing key at its next seal.',
    );
  return pass(`${ending} The signing key opens.`);
}

/** Sealing skips its turn while another session holds the row of the key. */
const lockRemedy = [
  'Look in the log of the daemon for an error of sealing. If there is none, a session holds a lock on seal_state: find it, and end it with KILL.',
  'SELECT trx_mysql_thread_id, trx_started FROM information_schema.innodb_trx;',
].join('\n');

async function isDaemonRunning(store: Session): Promise<boolean> {
  const held = await store.rows(`SELECT 1 FROM leases WHERE name = 'capture' AND ${isInForce}`);
  return held.length > 0;
}

/** In the largest unit that fits, rounded down: `3h`. */
function spell(ms: number): string {
  const units = { d: 86_400_000, h: 3_600_000, m: 60_000 };
  const unit = Object.values(units).find((each) => ms >= each) ?? 1_000;
  return formatDuration(Math.floor(ms / unit) * unit);
}

const pass = (detail: string): Finding => ({ level: 'pass', detail, remedy: null });
const skip = (detail: string): Finding => ({ level: 'skip', detail, remedy: null });
const warn = (detail: string, remedy: string): Finding => ({ level: 'warn', detail, remedy });
const fail = (detail: string, remedy: string): Finding => ({ level: 'fail', detail, remedy });

import type { Session } from '../../db/connection/client.ts';
import { idIn } from '../../db/connection/sql-text.ts';
import { broken, type Seal } from './chain.ts';
import { entryHash, fieldsOf, readEntries, type SealedLog } from './entry.ts';
import { merkleRoot } from './merkle.ts';
import { unpackLeaves, type Leaf } from './pack.ts';
import type { GappedLog } from './progress.ts';
import { oldActLeaf, oldAttemptLeaf } from '../verify/old-entry.ts';
import { readOldLeaves, type OldLeaf } from '../verify/read-old-leaves.ts';

/** Returns the leaves of a seal of version 2, by log. Throws AppError ERR_AUDIT if they do not produce its root. */
export async function readProvedLeaves(tx: Session, seal: Seal): Promise<Map<SealedLog, Leaf[]>> {
  const packs = await tx.rows<{ log: SealedLog; leaves: Buffer }>(
    'SELECT log, leaves FROM seal_packs WHERE seal = ? ORDER BY place',
    [seal.number],
  );
  const byLog = new Map<SealedLog, Leaf[]>();
  const hashes: Buffer[] = [];
  for (const { log, leaves: packed } of packs) {
    const leaves = unpackLeaves(packed, fieldsOf(log).length);
    for (const { hash } of leaves) hashes.push(hash);
    byLog.set(log, [...(byLog.get(log) ?? []), ...leaves]);
  }
  proveRoot(seal, hashes);
  return byLog;
}

function proveRoot({ number, root }: Seal, hashes: readonly Buffer[]): void {
  if (hashes.length === 0 || merkleRoot(hashes).toString('hex') !== root)
    throw broken(`the leaves of seal ${number} were edited`);
}

/**
 * Returns the ids of the attempts and acts in these seals. The id beside a leaf is not hashed, so each row is proved to match its leaf.
 * Throws AppError ERR_AUDIT.
 */
export async function readProvedIds(
  tx: Session,
  seals: readonly Seal[],
): Promise<Record<GappedLog, number[]>> {
  const ids: Record<GappedLog, number[]> = { attempts: [], audit_log: [] };
  for (const seal of seals) {
    if (seal.version === 1) {
      for (const { log, entryId } of await readProvedOldLeaves(tx, seal)) ids[log].push(entryId);
      continue;
    }
    const byLog = await readProvedLeaves(tx, seal);
    for (const log of ['attempts', 'audit_log'] as const) {
      const leaves = byLog.get(log) ?? [];
      await proveRows(tx, log, leaves);
      for (const { id } of leaves) ids[log].push(id);
    }
  }
  return ids;
}

const rowsAtOnce = 1_000;

async function proveRows(tx: Session, log: GappedLog, leaves: readonly Leaf[]): Promise<void> {
  for (let at = 0; at < leaves.length; at += rowsAtOnce) {
    const some = leaves.slice(at, at + rowsAtOnce);
    const rows = await readEntries(
      tx,
      log,
      idIn(
        '{id}',
        some.map(({ id }) => id),
      ),
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const { id, hash, content } of some) {
      const row = byId.get(id);
      if (!row || !entryHash(log, row, content).equals(hash))
        throw broken(`row ${id} of ${log} is not what its seal has`);
    }
  }
}

async function readProvedOldLeaves(tx: Session, seal: Seal): Promise<OldLeaf[]> {
  const leaves: OldLeaf[] = [];
  for await (const leaf of readOldLeaves(tx, seal.number, seal.number)) leaves.push(leaf);
  proveRoot(
    seal,
    leaves.map(({ hash }) => hash),
  );
  for (const { log, entryId, attempt, act, payloadHash, hash } of leaves) {
    const now = attempt ? oldAttemptLeaf(attempt, payloadHash) : act && oldActLeaf(act);
    if (!now?.equals(hash)) throw broken(`row ${entryId} of ${log} is not what its seal has`);
  }
  return leaves;
}

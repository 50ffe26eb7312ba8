import type { Session } from '../../db/connection/client.ts';
import {
  actColumns,
  attemptColumns,
  attemptJoins,
  type ActEntry,
  type AttemptEntry,
  type OldLog,
} from './old-entry.ts';

/** A leaf with its present entry; both null if the entry is gone. */
export interface OldLeaf {
  seal: number;
  place: number;
  log: OldLog;
  entryId: number;
  hash: Buffer;
  payloadHash: Buffer | null;
  attempt: AttemptEntry | null;
  act: ActEntry | null;
}

type StoredLeaf = Omit<OldLeaf, 'attempt' | 'act'>;

const leavesAtOnce = 500;

/** The leaves of seals `from` to `to`, in order. */
export async function* readOldLeaves(
  session: Session,
  from: number,
  to: number,
): AsyncGenerator<OldLeaf, void, undefined> {
  let after = { seal: from, place: -1 };
  for (;;) {
    const leaves = await session.rows<StoredLeaf>(
      `SELECT seal, place, log, entry_id AS entryId, hash, payload_hash AS payloadHash FROM seal_leaves
       WHERE seal BETWEEN ? AND ? AND (seal > ? OR place > ?) ORDER BY seal, place LIMIT ?`,
      [after.seal, to, after.seal, after.place, leavesAtOnce],
    );
    yield* await withEntries(session, leaves);
    const last = leaves.at(-1);
    if (!last || leaves.length < leavesAtOnce) return;
    after = last;
  }
}

async function withEntries(session: Session, leaves: readonly StoredLeaf[]): Promise<OldLeaf[]> {
  const idsOf = (log: OldLog): number[] =>
    leaves.filter((leaf) => leaf.log === log).map(({ entryId }) => entryId);
  const attempts = await byId<AttemptEntry>(
    session,
    `SELECT ${attemptColumns} FROM attempts a ${attemptJoins} WHERE a.id IN (?)`,
    idsOf('attempts'),
  );
  const acts = await byId<ActEntry>(
    session,
    `SELECT ${actColumns} FROM audit_log g WHERE g.id IN (?)`,
    idsOf('audit_log'),
  );
  return leaves.map((leaf) => ({
    ...leaf,
    attempt: leaf.log === 'attempts' ? (attempts.get(leaf.entryId) ?? null) : null,
    act: leaf.log === 'audit_log' ? (acts.get(leaf.entryId) ?? null) : null,
  }));
}

async function byId<T extends { id: number }>(
  session: Session,
  sql: string,
  ids: readonly number[],
): Promise<Map<number, T>> {
  if (ids.length === 0) return new Map();
  const rows = await session.rows<T>(sql, [ids]);
  return new Map(rows.map((row) => [row.id, row]));
}

import type { Session, Store } from '../db/client.ts';
import { codeOf } from '../lib/errors.ts';
import { momentMs } from '../outbox/moment.ts';
import { sealedLogs, type SealedLog } from './entry.ts';
import { readSealState, type LogProgress, type SealState } from './seal-key.ts';

/*
 * What is to be sealed next.
 *
 * Ids are given out before the commit, so a row may become visible after one with a higher id, or never (a rollback). Where ids
 * are missing below the highest one read, the range stays open: it is looked at again in every step, and what appears is sealed then.
 * A range is closed when it has been open for longer than any statement of ours may run (an id that was given out has its row by
 * then), and a locking read has waited for whoever had not committed it.
 */

/** Longer than a statement may take (60 s): an id given out before has its row by then, or never gets it. */
const graceMs = 2 * 60_000;

/** Now, by the store, as it writes it. */
export async function readClock(session: Session): Promise<string> {
  const [row] = await session.rows<{ now: string }>('SELECT UTC_TIMESTAMP(3) AS now');
  return row!.now;
}

const rangeName = (log: SealedLog, { from, to }: { from: number; to: number }): string =>
  `${log} ${from} ${to}`;

/** The ranges in which no row can appear any more, once those that are there now have been read. */
export async function closeRanges(store: Store, afterMs = graceMs): Promise<Set<string>> {
  const state = await readSealState(store);
  const nowMs = momentMs(await readClock(store));
  const closed = new Set<string>();
  for (const log of sealedLogs) {
    for (const range of state?.progress[log].open ?? []) {
      if (nowMs - range.sinceMs < afterMs) continue;
      try {
        // Waits for rows that are not committed yet; nothing is done with the locks.
        await store.rows(
          `SELECT COUNT(*) FROM ${log} FORCE INDEX (PRIMARY) WHERE id BETWEEN ? AND ? LOCK IN SHARE MODE`,
          [range.from, range.to],
        );
        closed.add(rangeName(log, range));
      } catch (error) {
        if (codeOf(error) !== 'ER_LOCK_WAIT_TIMEOUT') throw error;
      }
    }
  }
  return closed;
}

export interface Found {
  ids: Record<SealedLog, number[]>;
  progress: Record<SealedLog, LogProgress>;
}

interface Finding {
  closed: ReadonlySet<string>;
  sealedAtMs: number;
  limit: number;
}

/** The rows that no seal has yet, at most `limit`, and how far the logs have been read with them. */
export async function findEntries(tx: Session, { progress }: SealState, options: Finding): Promise<Found> {
  const found: Found = {
    ids: { attempts: [], audit_log: [] },
    progress: { attempts: progress.attempts, audit_log: progress.audit_log },
  };
  let limit = options.limit;
  for (const log of sealedLogs) {
    const late = await findLate(tx, log, progress[log]);
    const ids = await newIds(tx, { log, after: progress[log].to, limit: Math.max(0, limit - late.length) });
    limit -= late.length + ids.length;
    found.ids[log] = [...late, ...ids];
    const open = progress[log].open.filter((range) => !options.closed.has(rangeName(log, range)));
    const gap = gapIn(ids, progress[log].to);
    found.progress[log] = {
      to: ids.at(-1) ?? progress[log].to,
      open: gap ? [...open, { ...gap, sinceMs: options.sealedAtMs }] : open,
    };
  }
  return found;
}

/** Rows that appeared where ids were missing. */
async function findLate(tx: Session, log: SealedLog, { open }: LogProgress): Promise<number[]> {
  const late = new Set<number>();
  for (const { from, to } of open) {
    const rows = await tx.rows<{ id: number }>(
      `SELECT g.id FROM ${log} g LEFT JOIN seal_leaves l ON l.log = ? AND l.entry_id = g.id
       WHERE g.id BETWEEN ? AND ? AND l.entry_id IS NULL`,
      [log, from, to],
    );
    for (const { id } of rows) late.add(id);
  }
  return [...late].sort((a, b) => a - b);
}

async function newIds(
  tx: Session,
  { log, after, limit }: { log: SealedLog; after: number; limit: number },
): Promise<number[]> {
  const rows = await tx.rows<{ id: number }>(`SELECT id FROM ${log} WHERE id > ? ORDER BY id LIMIT ?`, [
    after,
    limit,
  ]);
  return rows.map(({ id }) => id);
}

/** From the first to the last id that is missing in an ascending list. */
function gapIn(ids: readonly number[], after: number): { from: number; to: number } | undefined {
  let from: number | undefined;
  let to = 0;
  let previous = after;
  for (const id of ids) {
    if (id > previous + 1) {
      from ??= previous + 1;
      to = id - 1;
    }
    previous = id;
  }
  return from === undefined ? undefined : { from, to };
}

import type { Session, Store } from '../../db/connection/client.ts';
import { contentionOf } from '../../db/connection/retry-contention.ts';
import { fromSqlDatetime } from '../../outbox/sql-datetime.ts';
import { fieldsOf, sealedLogs, type SealedLog } from './entry.ts';
import { unpackLeaves } from './pack.ts';
import {
  gappedLogs,
  type GappedLog,
  type LogProgress,
  type OpenRange,
  type OrderedProgress,
  type Progress,
} from './progress.ts';

/*
 * Finds the entries of the next seal.
 *
 * Events and deliveries get their ids under the lock of the checkpoint's row, which is released with the commit: every row below the
 * counters exists. Rows that are being staged are left out until the whole transaction is shown.
 *
 * Attempts and acts get their ids before the commit, so a row may become visible after a row with a higher id, or never (a rollback). If
 * ids are missing below the highest one read, the range stays open: every step reads it again and seals the rows that appear. A range is
 * closed when it has been open for longer than any of our statements may run (an id that was given out has its row by then), and a locking
 * read has waited for the transactions that had not committed.
 */

/** Longer than a statement may take (60 s): an id given out before has its row by then, or never gets it. */
const graceMs = 2 * 60_000;
/** Ranges found within this time are merged into one. */
const mergedMs = 15_000;

/** The current time of the store's clock, as SQL text. */
export async function readClock(session: Session): Promise<string> {
  const [row] = await session.rows<{ now: string }>('SELECT UTC_TIMESTAMP(3) AS now');
  return row!.now;
}

const rangeName = (log: GappedLog, { from, to }: { from: number; to: number }): string =>
  `${log} ${from} ${to}`;

/** Returns the ranges in which no more rows can appear, once the present rows have been read. */
export async function closeRanges(store: Store, progress: Progress, afterMs = graceMs): Promise<Set<string>> {
  const nowMs = fromSqlDatetime(await readClock(store));
  const closed = new Set<string>();
  for (const log of gappedLogs) {
    for (const range of progress[log].open) {
      if (nowMs - range.sinceMs < afterMs) continue;
      try {
        // Waits for uncommitted rows; the locks themselves are not used.
        await store.rows(
          `SELECT COUNT(*) FROM ${log} FORCE INDEX (PRIMARY) WHERE id BETWEEN ? AND ? LOCK IN SHARE MODE`,
          [range.from, range.to],
        );
        closed.add(rangeName(log, range));
      } catch (error) {
        if (contentionOf(error) !== 'lock-wait') throw error;
      }
    }
  }
  return closed;
}

export interface Found {
  ids: Record<SealedLog, number[]>;
  /** The progress once these entries are sealed. */
  progress: Progress;
}

interface Finding {
  closed: ReadonlySet<string>;
  /** Number of the seal that is being made. */
  seal: number;
  sealedAtMs: number;
  limit: number;
}

/** Returns the rows that no seal contains, at most `limit`, and how far the logs have been read with them. */
export async function findEntries(tx: Session, progress: Progress, options: Finding): Promise<Found> {
  const found: Found = {
    ids: { audit_log: [], attempts: [], event_log: [], delivery_log: [] },
    progress: { ...progress },
  };
  const ends = await readEnds(tx);
  let limit = options.limit;
  for (const log of sealedLogs) {
    if (log === 'audit_log' || log === 'attempts') {
      const { ids, next } = await findGapped(tx, { log, progress: progress[log], ...options, limit });
      found.ids[log] = ids;
      found.progress[log] = next;
    } else {
      const { ids, next } = await findOrdered(tx, { log, progress: progress[log], before: ends[log], limit });
      found.ids[log] = ids;
      found.progress[log] = next;
    }
    limit = Math.max(0, limit - found.ids[log].length);
  }
  return found;
}

type Ends = Record<'event_log' | 'delivery_log', number>;

/** Returns the first ids whose rows may not exist yet. */
async function readEnds(tx: Session): Promise<Ends> {
  const [row] = await tx.rows<Ends>(
    `SELECT LEAST(next_event_seq, COALESCE(staged_from_seq, next_event_seq)) AS event_log,
       LEAST(next_delivery_id, COALESCE(staged_from_delivery, next_delivery_id)) AS delivery_log
     FROM checkpoint WHERE id = 1`,
  );
  return row ?? { event_log: 0, delivery_log: 0 };
}

async function findOrdered(
  tx: Session,
  {
    log,
    progress,
    before,
    limit,
  }: { log: keyof Ends; progress: OrderedProgress; before: number; limit: number },
): Promise<{ ids: number[]; next: OrderedProgress }> {
  const key = log === 'event_log' ? 'seq' : 'id';
  const rows = await tx.rows<{ id: number }>(
    `SELECT ${key} AS id FROM ${log} WHERE ${key} > ? AND ${key} < ? ORDER BY ${key} LIMIT ?`,
    [progress.to, before, limit],
  );
  const ids = rows.map(({ id }) => id);
  return { ids, next: { to: ids.at(-1) ?? progress.to } };
}

async function findGapped(
  tx: Session,
  { log, progress, closed, seal, sealedAtMs, limit }: Finding & { log: GappedLog; progress: LogProgress },
): Promise<{ ids: number[]; next: LogProgress }> {
  const late = await findLate(tx, log, progress);
  const rows = await tx.rows<{ id: number }>(`SELECT id FROM ${log} WHERE id > ? ORDER BY id LIMIT ?`, [
    progress.to,
    Math.max(0, limit - late.length),
  ]);
  const ids = rows.map(({ id }) => id);
  const open = progress.open.filter((range) => !closed.has(rangeName(log, range)));
  const gap = gapIn(ids, progress.to);
  const next = {
    to: ids.at(-1) ?? progress.to,
    open: gap ? withRange(open, { ...gap, sinceMs: sealedAtMs, seal }) : open,
  };
  return { ids: [...late, ...ids], next };
}

/**
 * Adds the range that a seal found. If ids are counted in steps (auto_increment_increment of a cluster), every seal finds one: the ranges
 * of the same 15 s become one range, open since the last of them. So a log has 10 ranges at most, instead of 120 at a seal a second.
 */
function withRange(open: readonly OpenRange[], range: OpenRange): OpenRange[] {
  const last = open.at(-1);
  const quarterOf = ({ sinceMs }: OpenRange): number => Math.floor(sinceMs / mergedMs);
  if (!last || quarterOf(last) !== quarterOf(range)) return [...open, range];
  return [...open.slice(0, -1), { ...last, to: range.to, sinceMs: range.sinceMs }];
}

/** Rows that appeared where ids were missing. */
async function findLate(tx: Session, log: GappedLog, { open }: LogProgress): Promise<number[]> {
  const late = new Set<number>();
  for (const range of open) {
    const rows = await tx.rows<{ id: number }>(`SELECT id FROM ${log} WHERE id BETWEEN ? AND ?`, [
      range.from,
      range.to,
    ]);
    if (rows.length === 0) continue;
    const sealed = await sealedWithin(tx, log, range);
    for (const { id } of rows) if (!sealed.has(id)) late.add(id);
  }
  return [...late].sort((a, b) => a - b);
}

/** Ids of a range that are sealed, by the seal that opened the range or a later one. */
async function sealedWithin(
  tx: Session,
  log: GappedLog,
  { from, to, seal = 0 }: OpenRange,
): Promise<Set<number>> {
  const sealed = new Set<number>();
  const old = await tx.rows<{ id: number }>(
    'SELECT entry_id AS id FROM seal_leaves WHERE log = ? AND entry_id BETWEEN ? AND ?',
    [log, from, to],
  );
  for (const { id } of old) sealed.add(id);
  const packs = await tx.rows<{ leaves: Buffer }>(
    'SELECT leaves FROM seal_packs WHERE seal >= ? AND log = ?',
    [seal, log],
  );
  for (const { leaves } of packs) {
    for (const { id } of unpackLeaves(leaves, fieldsOf(log).length)) {
      if (id >= from && id <= to) sealed.add(id);
    }
  }
  return sealed;
}

/** Returns the range from the first to the last missing id in an ascending list. */
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

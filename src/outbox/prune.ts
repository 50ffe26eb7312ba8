import type { Session, Store } from '../db/connection/client.ts';
import { idIn } from '../db/connection/sql-text.ts';

export interface PruneOptions {
  /** Rows recorded longer ago than this are removed. */
  olderThanMs: number;
  /** Maximum number of rows in one transaction. Default 250. */
  batch?: number;
  /** The last event that may be changed, according to the audit log. Default: only the age decides. */
  upTo?: number;
  /** Returns the events that are unchanged since they were sealed, including their times; pruning stops at the first other event. */
  prove?(tx: Session, seqs: readonly number[]): Promise<ReadonlySet<number>>;
}

const defaultBatch = 250;

/** The number of events that are older than each limit and were not pruned yet. */
export async function countPrunable(
  session: Session,
  { payloadsMs, logMs }: { payloadsMs: number; logMs: number },
): Promise<{ payloads: number; events: number }> {
  const older = 'created_at < UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND';
  const [counts] = await session.rows<{ payloads: number; events: number }>(
    `SELECT (SELECT COUNT(*) FROM event_log WHERE seq > i.payloads_pruned_to AND ${older}) AS payloads,
       (SELECT COUNT(*) FROM event_log WHERE ${older}) AS events
     FROM installation i WHERE i.id = 1`,
    [payloadsMs * 1_000, logMs * 1_000],
  );
  return counts ?? { payloads: 0, events: 0 };
}

/**
 * Removes the payloads and the answers of the next events that are too old, in one bounded transaction; the record of what was
 * sent stays. An event that is still to be delivered to a webhook keeps its payload until then: `pruneKept` prunes it later. Returns the number of
 * examined events; call again while that is a full batch.
 */
export async function prunePayloads(store: Store, options: PruneOptions): Promise<number> {
  return store.transaction(async (tx) => {
    const [done] = await tx.rows<{ seq: number }>(
      'SELECT payloads_pruned_to AS seq FROM installation WHERE id = 1 FOR UPDATE',
    );
    const seqs = await provedEvents(tx, await oldEvents(tx, done?.seq ?? 0, options), options);
    if (seqs.length === 0) return 0;
    const open = await openAmong(tx, seqs);
    await tx.script([
      ...removePayloads(seqs.filter((seq) => !open.has(seq))),
      ...(open.size === 0
        ? []
        : [
            `INSERT IGNORE INTO kept_payloads (event_seq) VALUES ${[...open].map((seq) => `(${seq})`).join(',')}`,
          ]),
      `UPDATE installation SET payloads_pruned_to = ${seqs.at(-1)!} WHERE id = 1`,
    ]);
    return seqs.length;
  });
}

/**
 * Removes payloads of events up to `upTo` that were kept for a delivery which has ended since. Returns how many; call again while that is a full batch.
 */
export async function pruneKept(
  store: Store,
  { batch = defaultBatch, upTo = Number.MAX_SAFE_INTEGER }: Pick<PruneOptions, 'batch' | 'upTo'> = {},
): Promise<number> {
  return store.transaction(async (tx) => {
    const rows = await tx.rows<{ seq: number }>(
      `SELECT k.event_seq AS seq FROM kept_payloads k WHERE k.event_seq <= ? AND NOT EXISTS
         (SELECT 1 FROM delivery_log d WHERE d.event_seq = k.event_seq AND d.status = 'open') ORDER BY seq LIMIT ?`,
      [upTo, batch],
    );
    const seqs = rows.map(({ seq }) => seq);
    const open = await openAmong(tx, seqs);
    const ended = seqs.filter((seq) => !open.has(seq));
    if (ended.length === 0) return 0;
    await tx.script([
      ...removePayloads(ended),
      `DELETE FROM kept_payloads WHERE ${idIn('event_seq', ended)}`,
    ]);
    return ended.length;
  });
}

/**
 * Removes the oldest events that are too old for the log, with their deliveries: a range from the beginning, which ends before the first event that is
 * still to be delivered, or whose attempts the sealed log still has. Returns how many events were removed; call again while that is a full batch.
 */
export async function pruneLog(store: Store, options: PruneOptions): Promise<number> {
  return store.transaction(async (tx) => {
    const old = await oldEvents(tx, 0, options);
    const open = await openAmong(tx, old);
    const attempted = await attemptedAmong(tx, old);
    const end = old.findIndex((seq) => open.has(seq) || attempted.has(seq));
    const seqs = end < 0 ? old : old.slice(0, end);
    if (seqs.length === 0) return 0;
    const range = `<= ${seqs.at(-1)!}`;
    await tx.script([
      `DELETE FROM delivery_log WHERE event_seq ${range}`,
      `DELETE FROM kept_payloads WHERE event_seq ${range}`,
      `DELETE FROM event_log WHERE seq ${range}`,
    ]);
    return seqs.length;
  });
}

/** The next events of the log, up to the first that is recent enough. */
async function oldEvents(
  tx: Session,
  afterSeq: number,
  { olderThanMs, upTo = Number.MAX_SAFE_INTEGER, batch = defaultBatch }: PruneOptions,
): Promise<number[]> {
  const rows = await tx.rows<{ seq: number; isOld: number }>(
    `SELECT seq, created_at < UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND AS isOld
     FROM event_log FORCE INDEX (PRIMARY) WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
    [olderThanMs * 1_000, afterSeq, upTo, batch],
  );
  return beginning(rows).map(({ seq }) => seq);
}

async function provedEvents(
  tx: Session,
  seqs: readonly number[],
  { prove }: PruneOptions,
): Promise<readonly number[]> {
  if (!prove || seqs.length === 0) return seqs;
  const proved = await prove(tx, seqs);
  const end = seqs.findIndex((seq) => !proved.has(seq));
  return end < 0 ? seqs : seqs.slice(0, end);
}

function beginning<Row extends { isOld: number }>(rows: readonly Row[]): readonly Row[] {
  const young = rows.findIndex(({ isOld }) => isOld === 0);
  return young < 0 ? rows : rows.slice(0, young);
}

/** The events with unfinished deliveries. Locks their deliveries, so that none is reopened during the transaction. */
async function openAmong(tx: Session, seqs: readonly number[]): Promise<Set<number>> {
  const rows = await tx.rows<{ seq: number; status: string }>(
    `SELECT event_seq AS seq, status FROM delivery_log WHERE ${idIn('event_seq', seqs)} FOR UPDATE`,
  );
  return new Set(rows.filter(({ status }) => status === 'open').map(({ seq }) => seq));
}

async function attemptedAmong(tx: Session, seqs: readonly number[]): Promise<Set<number>> {
  const rows = await tx.rows<{ seq: number }>(
    `SELECT DISTINCT d.event_seq AS seq FROM delivery_log d JOIN attempts a ON a.delivery_id = d.id
     WHERE ${idIn('d.event_seq', seqs)}`,
  );
  return new Set(rows.map(({ seq }) => seq));
}

function removePayloads(seqs: readonly number[]): string[] {
  if (seqs.length === 0) return [];
  return [
    `UPDATE event_log SET body = NULL WHERE ${idIn('seq', seqs)}`,
    `UPDATE delivery_log SET payload = NULL, response_body = NULL WHERE ${idIn('event_seq', seqs)}`,
  ];
}

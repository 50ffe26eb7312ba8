import type { Session, Store } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import { openMarker, type Marker } from '../../db/proof/marks.ts';
import { engine, writeAct } from './record-act.ts';

const pruneAction = 'retention.payloads';

/** The last event whose payload may be gone, and the age that payloads had to reach. */
export interface PrunedRange {
  toSeq: number;
  retentionMs: number;
  /** Time of the decision, UTC as the store writes it. */
  at: string;
}

/** Reads the decisions of retention about payloads, oldest first. */
export async function readPrunedRanges(session: Session, marker: Cipher | Marker): Promise<PrunedRange[]> {
  const acts = await readMarkedActs(session, marker, { action: pruneAction });
  return acts.map(({ at, details }) => ({
    toSeq: Number(details?.['to_event']),
    retentionMs: Number(details?.['retention_ms']),
    at: (details?.['kept'] as { at: string } | undefined)?.at ?? at,
  }));
}

export interface Deciding {
  olderThanMs: number;
  /** Nothing is decided until the oldest payload is older than `olderThanMs` by this much, because each decision is an act. */
  patienceMs: number;
}

/**
 * Decides, on record, up to which event payloads are removed. Returns that event: the event of the last decision if there is nothing new to
 * decide, 0 before the first decision. Payloads are proved to be old enough before they are removed.
 */
export async function decidePruning(store: Store, cipher: Cipher, deciding: Deciding): Promise<number> {
  const marker = await openMarker(store, cipher);
  const before = Math.max(0, ...(await readPrunedRanges(store, marker)).map(({ toSeq }) => toSeq));
  const due = await store.rows(
    `SELECT 1 FROM (SELECT created_at FROM event_log WHERE seq > ? ORDER BY seq LIMIT 1) e
     WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND`,
    [before, (deciding.olderThanMs + deciding.patienceMs) * 1_000],
  );
  if (due.length === 0) return before;
  const to = await findOldTo(store, before, deciding.olderThanMs);
  if (to <= before) return before;
  const details = { from_event: before + 1, to_event: to, retention_ms: deciding.olderThanMs };
  await store.transaction((tx) => writeAct(tx, marker, { actor: engine, action: pruneAction, details }));
  return to;
}

/** Finds the last event that is old enough, by binary search: the log orders events by time. */
async function findOldTo(session: Session, after: number, olderThanMs: number): Promise<number> {
  const [row] = await session.rows<{ last: number | null }>('SELECT MAX(seq) AS last FROM event_log');
  let [from, to] = [after + 1, row?.last ?? 0];
  let found = after;
  while (from <= to) {
    const middle = Math.floor((from + to) / 2);
    const [event] = await session.rows<{ seq: number; isOld: number }>(
      `SELECT seq, created_at < UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND AS isOld FROM event_log
       WHERE seq <= ? AND seq >= ? ORDER BY seq DESC LIMIT 1`,
      [olderThanMs * 1_000, middle, from],
    );
    if (!event || event.isOld === 1) {
      found = event?.seq ?? found;
      from = middle + 1;
    } else to = event.seq - 1;
  }
  return found;
}

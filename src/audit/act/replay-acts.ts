import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { parseStored } from '../../db/proof/stored-json.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import { canonical, openMarker, type Marker } from '../../db/proof/marks.ts';
import { recordAct, type Act, type Actor } from './record-act.ts';

/** Columns of a replay that are shown and never change. */
const fixedColumns = [
  ...['webhook_id', 'events', 'entity_table', 'entity_key', 'since', 'until', 'requested_by', 'reason'],
  ...['rate_per_second', 'exhausted_only', 'missed_only', 'last_seq', 'total', 'created_at'],
] as const;
/** Columns that are set when a replay ends. */
const endColumns = ['state', 'queued', 'finished_at'] as const;

export type ReplayState = Readonly<Record<string, unknown>>;

/** Reads the replays with ids above `after`, in the form that acts record. */
export async function readReplayStates(
  session: Session,
  { after, limit }: { after: number; limit: number },
): Promise<{ id: number; state: ReplayState }[]> {
  const rows = await session.rows<{ id: number; events: string | null } & Record<string, unknown>>(
    `SELECT id, ${[...fixedColumns, ...endColumns].map((name) => `\`${name}\``).join(', ')} FROM replays
     WHERE id > ? ORDER BY id LIMIT ?`,
    [after, limit],
  );
  return rows.map(({ id, events, ...row }) => ({
    id,
    state: { ...row, events: events === null ? null : canonical(parseStored('replays.events', events, id)) },
  }));
}

async function readReplayState(session: Session, id: number): Promise<ReplayState | null> {
  const [found] = await readReplayStates(session, { after: id - 1, limit: 1 });
  return found?.id === id ? found.state : null;
}

interface Creation {
  actor: Actor;
  details: NonNullable<Act['details']>;
}

/** Records a new replay, within its transaction. */
export function recordReplay(
  cipher: Cipher,
  webhookId: number,
  { actor, details }: Creation,
): (tx: Session, replay: number, total: number) => Promise<void> {
  return async (tx, replay, total) => {
    const row = await readReplayState(tx, replay);
    await recordAct(tx, cipher, {
      actor,
      action: 'replay.create',
      target: String(webhookId),
      details: { replay, total, ...details, row },
    });
  };
}

/** Records the end of a replay, within the transaction that ends it: a cancellation by a person, or the engine's last step. */
export function recordReplayEnd(
  cipher: Cipher,
  actor: Actor,
): (tx: Session, replay: number) => Promise<void> {
  return async (tx, replay) => {
    const row = await readReplayState(tx, replay);
    const action = actor.role === 'engine' ? 'replay.end' : 'replay.cancel';
    await recordAct(tx, cipher, { actor, action, target: String(replay), details: { row } });
  };
}

/** Replay rows as acts recorded them, by replay id. */
export interface ReplayRecords {
  created: Map<number, ReplayState | null>;
  ended: Map<number, ReplayState | null>;
}

/** Null stands for an act of version f84be48, which records no row. */
export async function readReplayRecords(session: Session, marker: Marker): Promise<ReplayRecords> {
  const records: ReplayRecords = { created: new Map(), ended: new Map() };
  for (const { action, target, details } of await readMarkedActs(session, marker, { action: 'replay.%' })) {
    const row = (details?.['row'] ?? null) as ReplayState | null;
    if (action === 'replay.create') records.created.set(Number(details?.['replay']), row);
    else records.ended.set(Number(target), row);
  }
  return records;
}

/** Whether recorded acts explain a running replay. If not, SQL created it or changed its request. */
export async function isReplayExplained(session: Session, cipher: Cipher, id: number): Promise<boolean> {
  const [found] = await readReplayStates(session, { after: id - 1, limit: 1 });
  if (found?.id !== id) return false;
  const records = await readReplayRecords(session, await openMarker(session, cipher));
  return replayDifferences(id, found.state, records).length === 0;
}

/** Returns the names of the columns in which a replay differs from its acts; `row` if no act mentions it. */
export function replayDifferences(id: number, now: ReplayState, { created, ended }: ReplayRecords): string[] {
  const before = created.get(id);
  if (before === undefined) return ['row'];
  const differs = (state: ReplayState | null | undefined, names: readonly string[]): string[] =>
    state
      ? names.filter(
          // An act records the columns that existed when it was written.
          (name) =>
            name in state && JSON.stringify(canonical(state[name])) !== JSON.stringify(canonical(now[name])),
        )
      : [];
  const end = ended.get(id);
  if (end === undefined) {
    if (now['state'] !== 'running') return ['state'];
    if (now['finished_at'] !== null) return ['finished_at'];
  }
  return [...differs(before, fixedColumns), ...differs(end, endColumns)];
}

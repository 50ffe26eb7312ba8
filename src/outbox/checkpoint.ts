import type { Baseline, ColumnKind, Flavour, ShownColumn } from '../binlog/types.ts';
import type { Halt } from '../binlog/halt.ts';
import type { Session } from '../db/connection/client.ts';
import { idIn, literal } from '../db/connection/sql-text.ts';
import { parseStored, storedText } from '../db/proof/stored-json.ts';
import type { Marker } from '../db/proof/marks.ts';
import { markedCheckpoint } from './checkpoint-mark.ts';
import { fromSqlDatetime, toSqlDatetime, fromNullableSqlDatetime } from './sql-datetime.ts';
import type { CaptureState, Checkpoint, KeysInForce } from './types.ts';

/** The part of the checkpoint's row that every append must find unchanged, and then increases. */
export interface Counters {
  epoch: number;
  nextEventSeq: number;
  nextDeliveryId: number;
  /** Staging number: events with a lower number are visible. */
  staging: number;
}

interface CheckpointRow {
  epoch: number;
  lineage: string | null;
  flavour: Flavour | null;
  server_uuid: string | null;
  gtid: string | null;
  file: string | null;
  offset: number | null;
  file_created_at: number | null;
  waived: string | null;
  baseline: string | null;
  keys_in_force: string | null;
  committed_at: string | null;
  passed_at: string | null;
  updated_at: string;
  halt: string | null;
  halted_at: string | null;
  store: string;
  is_clean: number;
  state: string | null;
  mark: Buffer | null;
}

/** Reads the position of capture. Throws AppError ERR_AUDIT where SQL has edited a document into another shape. */
export async function readCaptureState(session: Session): Promise<CaptureState> {
  const [row] = await session.rows<CheckpointRow>(
    `SELECT c.epoch, lineage, flavour, server_uuid, gtid, c.file, c.\`offset\`, file_created_at, committed_at, passed_at, updated_at,
       halt, halted_at, waived, mark, baseline, keys_in_force, DATABASE() AS store, s.id IS NOT NULL AS is_clean, state
     FROM checkpoint c LEFT JOIN known_tables k ON k.id = c.id
       LEFT JOIN clean_stop s ON (s.id, s.epoch, s.file, s.\`offset\`) = (1, c.epoch, c.file, c.\`offset\`)
     WHERE c.id = 1`,
  );
  const { lineage, flavour, file, offset } = row!;
  const known = lineage !== null && flavour !== null && file !== null && offset !== null;
  return {
    checkpoint: known
      ? {
          lineage,
          flavour,
          serverUuid: row!.server_uuid,
          position: {
            gtid: row!.gtid,
            file,
            offset,
            ...(row!.file_created_at === null ? {} : { fileCreatedAt: row!.file_created_at }),
          },
          committedAtMs: fromNullableSqlDatetime(row!.committed_at),
          passedMs: fromNullableSqlDatetime(row!.passed_at),
        }
      : null,
    epoch: row!.epoch,
    mark: row!.mark,
    updatedAtMs: fromSqlDatetime(row!.updated_at),
    waived: row!.waived === null ? [] : (parseStored('checkpoint.waived', row!.waived, 1) as string[]),
    baseline: row!.baseline === null ? {} : readBaseline(row!.baseline),
    keys:
      row!.keys_in_force === null
        ? null
        : (parseStored('known_tables.keys_in_force', row!.keys_in_force, 1) as KeysInForce),
    cleanStop: row!.is_clean === 1 ? { schema: row!.store, state: row!.state } : null,
    halt:
      row!.halt === null
        ? null
        : {
            ...(parseStored('checkpoint.halt', row!.halt, 1) as Halt),
            atMs: fromSqlDatetime(row!.halted_at ?? row!.updated_at),
          },
  };
}

/** Pre-release versions of 0.1.0 stored only the kind of a column. */
function readBaseline(text: string): Baseline {
  const stored = parseStored('known_tables.baseline', text, 1) as Record<
    string,
    Record<string, ShownColumn | ColumnKind>
  >;
  const toShown = (column: ShownColumn | ColumnKind): ShownColumn =>
    typeof column === 'string' ? { kind: column } : column;
  return Object.fromEntries(
    Object.entries(stored).map(([table, columns]) => [
      table,
      Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, toShown(column)])),
    ]),
  );
}

export async function readCounters(session: Session): Promise<Counters & { fence: number }> {
  const [row] = await session.rows<Counters & { fence: number }>(
    `SELECT fence, epoch, next_event_seq AS nextEventSeq, next_delivery_id AS nextDeliveryId, staging
     FROM checkpoint WHERE id = 1`,
  );
  return row!;
}

/** Those of the webhooks whose events are not queued: a person disabled or deleted them. READ COMMITTED: it locks nothing. */
export function selectDisabled(webhookIds: Iterable<number>): string {
  return `SELECT 1 FROM webhooks WHERE ${idIn('id', webhookIds)} AND is_active = FALSE AND disabled_reason IS NULL`;
}

/**
 * The first statement of everything that capture writes. It fails with ER_BAD_NULL_ERROR, and with it the whole script,
 * when another process has taken over (`fence`), an operator has moved the position (`epoch`), another process has inserted rows into the queue meanwhile
 * (the counters), or an operator has disabled one of the webhooks that it queues for. So the whole append is one round trip, and holds no lock between
 * round trips.
 */
export function guardedUpdate(
  { fence, webhookIds = [] }: { fence: number; webhookIds?: Iterable<number> },
  counters: Counters,
  set: readonly string[],
): string {
  const { epoch, nextEventSeq, nextDeliveryId } = counters;
  const unchanged =
    `fence = ${literal(fence)} AND epoch = ${literal(epoch)} AND next_event_seq = ${literal(nextEventSeq)}` +
    ` AND next_delivery_id = ${literal(nextDeliveryId)} AND NOT EXISTS (${selectDisabled(webhookIds)})`;
  return (
    `UPDATE checkpoint SET fence = IF(${unchanged}, fence, NULL), ` +
    [...set, 'updated_at = UTC_TIMESTAMP(3)'].join(', ') +
    ' WHERE id = 1'
  );
}

const noHalt = ['halt = NULL', 'halted_at = NULL'];

/** By which a position is marked: the key, and the epoch in which it counts. */
export interface Marking {
  marker: Marker;
  epoch: number;
}

/** Assignments that move the position, with its mark. Reading on ends a halt. */
export function positionAssignments(checkpoint: Checkpoint, marking: Marking): string[] {
  const { position, committedAtMs, passedMs } = checkpoint;
  return [
    `lineage = ${literal(checkpoint.lineage)}`,
    `flavour = ${literal(checkpoint.flavour)}`,
    `server_uuid = ${literal(checkpoint.serverUuid)}`,
    `gtid = ${literal(position.gtid)}`,
    `file = ${literal(position.file)}`,
    `\`offset\` = ${literal(position.offset)}`,
    `file_created_at = ${literal(position.fileCreatedAt ?? null)}`,
    `committed_at = ${literal(committedAtMs === null ? null : toSqlDatetime(committedAtMs))}`,
    `passed_at = ${literal(passedMs === null ? null : toSqlDatetime(passedMs))}`,
    markAssignment(checkpoint, marking),
    ...noHalt,
  ];
}

function markAssignment(checkpoint: Checkpoint | null, { marker, epoch }: Marking): string {
  return `mark = X'${marker.ofCheckpoint(markedCheckpoint(epoch, checkpoint)).toString('hex')}'`;
}

/** Marks the position where it stands: at the beginning of a log. */
export async function writeMark(session: Session, { from, ...marking }: Leaving): Promise<void> {
  await session.run(`UPDATE checkpoint SET ${markAssignment(from, marking)} WHERE id = 1`);
}

/** Statements of the same transaction that store the schema history of a checkpoint; none if it is unchanged. */
export function knowledgeStatements({ baseline, keys }: Pick<Checkpoint, 'baseline' | 'keys'>): string[] {
  return [
    ...(baseline === undefined ? [] : [keepKnown('baseline', storedText('known_tables.baseline', baseline))]),
    ...(keys === undefined
      ? []
      : [keepKnown('keys_in_force', storedText('known_tables.keys_in_force', keys))]),
  ];
}

function keepKnown(column: 'baseline' | 'keys_in_force', text: string): string {
  const json = literal(text);
  return `INSERT INTO known_tables (id, ${column}) VALUES (1, ${json}) ON DUPLICATE KEY UPDATE ${column} = ${json}`;
}

/**
 * Records why capture stopped, so that it survives restarts; the position stays. False when an operator has resumed capture meanwhile: then the halt is
 * out of date.
 */
export async function recordHalt(session: Session, halt: Halt, epoch: number): Promise<boolean> {
  const { affectedRows } = await session.run(
    'UPDATE checkpoint SET halt = ?, halted_at = COALESCE(halted_at, UTC_TIMESTAMP(3)) WHERE id = 1 AND epoch = ?',
    [storedText('checkpoint.halt', halt), epoch],
  );
  return affectedRows === 1;
}

/**
 * Written with the last move of the checkpoint by a process that stops, if the store is on the source server: its transaction lies behind the checkpoint. `state`: see CleanStop.
 */
export function cleanStopStatement({ position }: Checkpoint, epoch: number, state: string | null): string {
  const values = [1, epoch, position.file, position.offset, state].map(literal).join(', ');
  return `REPLACE INTO clean_stop (id, epoch, file, \`offset\`, state) VALUES (${values})`;
}

/** The cause is gone: capture resumes by itself. */
export async function endHalt(session: Session, epoch: number): Promise<void> {
  await session.run(`UPDATE checkpoint SET ${noHalt.join(', ')} WHERE id = 1 AND epoch = ?`, [epoch]);
}

/** The checkpoint as a person has seen it, and the key that marks what takes its place. */
export interface Leaving extends Marking {
  from: Checkpoint | null;
}

/**
 * Moves the position because an operator accepts a gap. Accepted transactions and the schema history are deleted, because they belong to the former log.
 */
export function moveCheckpoint(session: Session, to: Checkpoint, marking: Marking): Promise<void> {
  const set = ['waived = NULL', ...positionAssignments(to, next(marking))];
  return beginEpoch(session, set, ['DELETE FROM known_tables', ...knowledgeStatements(to)]);
}

/** Makes capture skip these transactions: an operator accepts their loss. The position stays. */
export function skipTransactions(
  session: Session,
  { ids, baseline }: { ids: readonly string[]; baseline: Baseline },
  leaving: Leaving,
): Promise<void> {
  return stayAt(session, leaving, [waivedAssignment(ids)], knowledgeStatements({ baseline }));
}

/** Keeps only these transactions in the list of transactions to skip: the others lie behind the position. */
export async function keepSkipped(session: Session, ids: readonly string[], epoch: number): Promise<void> {
  await session.run(`UPDATE checkpoint SET ${waivedAssignment(ids)} WHERE id = 1 AND epoch = ?`, [epoch]);
}

/** Accepts the tables as they are now: an operator accepts that columns were dropped or changed their kind. The position stays. */
export function acceptBaseline(session: Session, baseline: Baseline, leaving: Leaving): Promise<void> {
  return stayAt(session, leaving, [], knowledgeStatements({ baseline }));
}

/** Takes the position and the list of transactions to pass over as they are now: a person accepts that SQL edited them. */
export function acceptPosition(session: Session, waived: readonly string[], leaving: Leaving): Promise<void> {
  return stayAt(session, leaving, [waivedAssignment(waived)], []);
}

function waivedAssignment(ids: readonly string[]): string {
  return `waived = ${literal(ids.length === 0 ? null : storedText('checkpoint.waived', ids))}`;
}

function stayAt(
  session: Session,
  leaving: Leaving,
  set: readonly string[],
  along: readonly string[],
): Promise<void> {
  return beginEpoch(session, [...set, markAssignment(leaving.from, next(leaving)), ...noHalt], along);
}

const next = ({ marker, epoch }: Marking): Marking => ({ marker, epoch: epoch + 1 });

/** The higher epoch makes a process that still captures fail at its next append (ERR_LEASE_LOST) and read the row again. */
async function beginEpoch(session: Session, set: readonly string[], along: readonly string[]): Promise<void> {
  const all = ['epoch = epoch + 1', ...set, 'updated_at = UTC_TIMESTAMP(3)'];
  await session.script([`UPDATE checkpoint SET ${all.join(', ')} WHERE id = 1`, ...along]);
}

import type { Flavour } from '../binlog/types.ts';
import type { Halt } from '../binlog/halt.ts';
import type { Session } from '../db/client.ts';
import { literal } from '../db/sql-text.ts';
import { momentMs, momentText, nullableMomentMs } from './moment.ts';
import type { Baseline, CaptureState, Checkpoint } from './types.ts';

/** The part of the checkpoint's row that every append must find unchanged, and moves on. */
export interface Counters {
  epoch: number;
  nextEventSeq: number;
  nextDeliveryId: number;
  /** Number that staged events carry: those with a lower one are visible. */
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
  committed_at: string | null;
  updated_at: string;
  halt: string | null;
  halted_at: string | null;
}

/** Reads where capture stands. */
export async function readCaptureState(session: Session): Promise<CaptureState> {
  const [row] = await session.rows<CheckpointRow>(
    `SELECT epoch, lineage, flavour, server_uuid, gtid, file, \`offset\`, file_created_at, committed_at, updated_at, halt,
       halted_at, waived, baseline
     FROM checkpoint WHERE id = 1`,
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
          committedAtMs: nullableMomentMs(row!.committed_at),
        }
      : null,
    epoch: row!.epoch,
    updatedAtMs: momentMs(row!.updated_at),
    waived: row!.waived === null ? [] : (JSON.parse(row!.waived) as string[]),
    baseline: row!.baseline === null ? {} : (JSON.parse(row!.baseline) as Baseline),
    halt:
      row!.halt === null
        ? null
        : { ...(JSON.parse(row!.halt) as Halt), atMs: momentMs(row!.halted_at ?? row!.updated_at) },
  };
}

export async function readCounters(session: Session): Promise<Counters & { fence: number }> {
  const [row] = await session.rows<Counters & { fence: number }>(
    `SELECT fence, epoch, next_event_seq AS nextEventSeq, next_delivery_id AS nextDeliveryId, staging
     FROM checkpoint WHERE id = 1`,
  );
  return row!;
}

/**
 * The first statement of everything that capture writes. It fails with ER_BAD_NULL_ERROR, and with it the whole script,
 * when another process has taken over (`fence`), a person has moved the position (`epoch`), or somebody has put rows
 * into the queue meanwhile (the counters). So the whole append is one round trip, and holds no lock across two.
 */
export function guardedUpdate(fence: number, counters: Counters, set: readonly string[]): string {
  const { epoch, nextEventSeq, nextDeliveryId } = counters;
  const unchanged =
    `fence = ${literal(fence)} AND epoch = ${literal(epoch)} AND next_event_seq = ${literal(nextEventSeq)}` +
    ` AND next_delivery_id = ${literal(nextDeliveryId)}`;
  return (
    `UPDATE checkpoint SET fence = IF(${unchanged}, fence, NULL), ` +
    [...set, 'updated_at = UTC_TIMESTAMP(3)'].join(', ') +
    ' WHERE id = 1'
  );
}

/** Assignments that move the position. Going on is what ends a halt. */
export function positionAssignments(checkpoint: Checkpoint): string[] {
  const { position, committedAtMs } = checkpoint;
  return [
    `lineage = ${literal(checkpoint.lineage)}`,
    `flavour = ${literal(checkpoint.flavour)}`,
    `server_uuid = ${literal(checkpoint.serverUuid)}`,
    `gtid = ${literal(position.gtid)}`,
    `file = ${literal(position.file)}`,
    `\`offset\` = ${literal(position.offset)}`,
    `file_created_at = ${literal(position.fileCreatedAt ?? null)}`,
    `committed_at = ${literal(committedAtMs === null ? null : momentText(committedAtMs))}`,
    'halt = NULL',
    'halted_at = NULL',
  ];
}

/** Records why capture stopped, so that it survives restarts; the position stays. */
export async function recordHalt(session: Session, halt: Halt): Promise<void> {
  await session.run(
    'UPDATE checkpoint SET halt = ?, halted_at = COALESCE(halted_at, UTC_TIMESTAMP(3)) WHERE id = 1',
    [JSON.stringify(halt)],
  );
}

/**
 * Moves the position by hand: a person accepts a gap. The growing epoch makes a process that still captures from the
 * old position fail at its next append (ERR_LEASE_LOST) and read the new one.
 */
export async function moveCheckpoint(session: Session, checkpoint: Checkpoint): Promise<void> {
  const set = ['epoch = epoch + 1', ...positionAssignments(checkpoint), 'updated_at = UTC_TIMESTAMP(3)'];
  await session.script([`UPDATE checkpoint SET ${set.join(', ')} WHERE id = 1`]);
}

/** Remembers which watched columns the log has shown, so that one that goes away is noticed over restarts too. */
export async function recordBaseline(session: Session, baseline: Baseline): Promise<void> {
  await session.run('UPDATE checkpoint SET baseline = ? WHERE id = 1', [JSON.stringify(baseline)]);
}

/**
 * Lets capture pass over one transaction: a person accepts its loss. The position stays; what the columns were like is
 * forgotten, because the definition that changed them is part of what was accepted.
 */
export async function waiveTransaction(session: Session, waived: readonly string[]): Promise<void> {
  await session.run(
    'UPDATE checkpoint SET waived = ?, baseline = NULL, halt = NULL, halted_at = NULL, epoch = epoch + 1 WHERE id = 1',
    [JSON.stringify(waived)],
  );
}

import { setVariable } from '../../db/connection/set-variable.ts';
import type { Halt, HaltReason, TimeSpan } from '../halt.ts';
import { readFileCreatedAt, type LogFile } from '../source/log-file.ts';
import { acceptGapCommand, backRemedy, purgedRemedy, steps } from '../remedy.ts';
import type { Source, SourceIdentity } from '../source/source.ts';
import type { Flavour, Position } from '../types.ts';

/** What the last transaction of the process that stopped capture recorded beside the checkpoint, in a store on the source server. */
export interface CleanStop {
  /** Schema of the store. Only that transaction writes to its table `clean_stop`. */
  schema: string;
  /** MariaDB: the gtid_binlog_state up to which the log was read. Null on MySQL, where the checkpoint's set is equivalent. */
  state: string | null;
}

/** Where capture stopped, and in which server's log. */
export interface Checkpoint {
  position: Position;
  flavour: Flavour;
  /** `SourceIdentity.serverUuid` of the server that the position was read from. */
  serverUuid: string;
  /** Commit time of the last transaction before the position; null when none was read. */
  committedAtMs: number | null;
  /** How capture was stopped, if no process has moved the checkpoint since. */
  cleanStop?: CleanStop | null;
}

/** Whether reading can continue at a checkpoint, and if not, what is missing. */
export type Lineage =
  | {
      kind: 'ok';
      /**
       * Where to start reading if not at the checkpoint: after our own last transaction, which was purged; on MariaDB also if GTIDs do
       * not find the place, without the domains that were retired since the checkpoint. MariaDB is then queried by file and offset.
       */
      from?: Position;
      /** MariaDB: domains were retired. They may later reuse numbers that were read, for other transactions. */
      retired?: true;
    }
  | {
      kind: Extract<HaltReason, 'foreign-server' | 'diverged' | 'purged' | 'ahead-of-source'>;
      message: string;
      /** The missing transactions: a GTID set, or file and offset from and to; null if unknown. */
      missing: string | null;
      /** When they were committed, as precisely as known; a null bound is open. */
      span: TimeSpan;
      remedy: string;
    };

export type BrokenLineage = Exclude<Lineage, { kind: 'ok' }>;

/** The halt of a broken lineage, at the checkpoint. */
export function lineageHalt({ kind, ...rest }: BrokenLineage, position: Position): Halt {
  return { reason: kind, ...rest, position, transactionId: null, table: null };
}

/** Returns where a reader begins, and whether it requests the log by file and offset. */
export function startOfReading(
  { from }: Extract<Lineage, { kind: 'ok' }>,
  checkpoint: Position,
): { position: Position; byFile: boolean } {
  return { position: from ?? checkpoint, byFile: from !== undefined };
}

export interface Proof {
  source: Source;
  identity: SourceIdentity;
  checkpoint: Checkpoint;
  files: readonly LogFile[];
  /** Whether the checkpoint was read from this very server: then its file names are valid here. */
  sameServer: boolean;
}

export async function purgedBroken(proof: Proof, missing: string, what: string): Promise<BrokenLineage> {
  const { source, files, checkpoint, identity } = proof;
  const oldestAt = files[0] ? await readFileCreatedAt(source, files[0].name) : undefined;
  const span = spanUpTo(checkpoint.committedAtMs, oldestAt === undefined ? null : endOfSecondMs(oldestAt));
  return {
    kind: 'purged',
    message: `The source has purged ${what}${spanText(span)}.`,
    missing,
    span,
    remedy: steps(
      purgedRemedy,
      'Keep the log for a week in future:',
      setVariable('binlog_expire_logs_seconds', 604_800, identity.flavour),
    ),
  };
}

export function foreign(
  { serverUuid, hostname }: SourceIdentity,
  checkpoint: Checkpoint,
  why: string,
): BrokenLineage {
  return {
    kind: 'foreign-server',
    message: `The server (${hostname}, ${serverUuid}) is not the one that was read before (${checkpoint.serverUuid}). ${why}`,
    missing: null,
    span: { fromMs: checkpoint.committedAtMs, untilMs: null },
    remedy: steps(
      `Point source.url back at the server ${checkpoint.serverUuid} and restart the daemon: capture then continues.`,
      'Or give up what that server has logged since, and begin anew at this one:',
      acceptGapCommand('another server'),
    ),
  };
}

export function broken(
  { checkpoint }: Proof,
  kind: 'diverged' | 'ahead-of-source',
  { message, missing = null }: { message: string; missing?: string | null },
): BrokenLineage {
  return {
    kind,
    message,
    missing,
    span: { fromMs: checkpoint.committedAtMs, untilMs: null },
    remedy: backRemedy(kind),
  };
}

export function transactions(count: bigint): string {
  return `${count.toLocaleString('en-US')} transaction${count === 1n ? '' : 's'}`;
}

/** The last millisecond of a second since 1970 UTC. A log file's creation time is in seconds, a commit time in milliseconds. */
export const endOfSecondMs = (seconds: number): number => seconds * 1_000 + 999;

/** The span between two times, ms since 1970 UTC. If the clock was set back in between, the end is unknown. */
export function spanUpTo(fromMs: number | null, untilMs: number | null): TimeSpan {
  const isOrdered = fromMs === null || untilMs === null || fromMs <= untilMs;
  return { fromMs, untilMs: isOrdered ? untilMs : null };
}

export const time = (ms: number): string => new Date(ms).toISOString();

function spanText({ fromMs, untilMs }: BrokenLineage['span']): string {
  if (fromMs === null) return untilMs === null ? '' : ` (committed before ${time(untilMs)})`;
  return untilMs === null
    ? ` (committed after ${time(fromMs)})`
    : ` (committed between ${time(fromMs)} and ${time(untilMs)})`;
}

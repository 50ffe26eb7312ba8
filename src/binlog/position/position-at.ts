import {
  gtidAtStart,
  isBegunBefore,
  listLogFiles,
  readFileCreatedAt,
  type LogFile,
} from '../source/log-file.ts';
import type { Source, SourceIdentity } from '../source/source.ts';
import type { Position } from '../types.ts';

/** The log stores a file's start time in whole seconds, and a commit may be timestamped a moment before it is written. */
const MARGIN_MS = 5_000;

/** Where to start reading everything committed since a given time. */
export interface PositionAt {
  /** The beginning of a log file: a MySQL position without its GTID set, which only the file itself contains. */
  position: Position;
  /** When the file was begun, milliseconds since 1970 UTC. */
  begunAtMs: number;
  /** False when the log begins later than the given time: earlier changes are purged. */
  reachesBack: boolean;
  /** This file and all later ones. */
  files: readonly LogFile[];
}

/**
 * Finds the last log file begun before a given time, by the time in its first event: a binary search, because each query requires its
 * own connection. Undefined when there is no log. Needs REPLICATION CLIENT and REPLICATION SLAVE.
 */
export async function findPositionAt(
  source: Source,
  identity: Pick<SourceIdentity, 'flavour'>,
  atMs: number,
): Promise<PositionAt | undefined> {
  const files = await listLogFiles(source);
  let low = 0;
  let high = files.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (await isBegunBefore(source, { files, index: middle }, atMs - MARGIN_MS)) low = middle;
    else high = middle;
  }
  const first = files[low];
  if (!first) return undefined;
  const begunAtMs = ((await readFileCreatedAt(source, first.name)) ?? 0) * 1_000;
  const gtid = identity.flavour === 'mariadb' ? await gtidAtStart(source, first.name) : null;
  return {
    position: { gtid, file: first.name, offset: 4 },
    begunAtMs,
    reachesBack: begunAtMs <= atMs,
    files: files.slice(low),
  };
}

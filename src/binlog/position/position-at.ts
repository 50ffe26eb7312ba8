import {
  gtidAtStart,
  isBegunBefore,
  listLogFiles,
  readFileCreatedAt,
  type LogFile,
} from '../source/log-file.ts';
import type { Source, SourceIdentity } from '../source/source.ts';
import type { Position } from '../types.ts';

/** The log has the time when a file was begun in whole seconds, and a commit may have been timed a moment before it was written. */
const MARGIN_MS = 5_000;

/** Where to begin reading what was committed since a moment. */
export interface PositionAt {
  /** The begin of a log file: a MySQL position without its GTID set, which only the file itself knows. */
  position: Position;
  /** When the file was begun, milliseconds since 1970 UTC. */
  begunAtMs: number;
  /** False when the log begins later than the moment: what came before is purged. */
  reachesBack: boolean;
  /** The files from there on. */
  files: readonly LogFile[];
}

/**
 * Finds the last log file that was begun before a moment, by the time in its first event: a binary search, because each question
 * is a connection of its own. Undefined when there is no log. Needs REPLICATION CLIENT and REPLICATION SLAVE.
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

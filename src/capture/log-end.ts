import { currentPosition } from '../binlog/source/log-file.ts';
import { endsBefore, hasReached } from '../binlog/position/log-place.ts';
import { estimateRunway } from '../binlog/position/runway.ts';
import type { Source } from '../binlog/source/source.ts';
import type { Session } from '../db/connection/client.ts';
import { messageOf } from '../lib/errors.ts';
import { readCaptureState } from '../outbox/checkpoint.ts';
import type { LogEnd } from '../outbox/payload/standing-erasures.ts';

/** How far capture is behind the end of the source's log. */
export interface Backlog {
  logEnd: LogEnd;
  /** Bytes that are not captured yet; 0 when everything is captured, null when unknown. */
  behindBytes: number | null;
  /** Why capture is halted; null while it is not. */
  halted: string | null;
  /** Why the source did not answer. */
  problem: string | null;
}

/** Queries the end of the source's log and the progress of capture. When the source does not answer, the result says so. */
export async function readBacklog(source: Source, session: Session): Promise<Backlog> {
  const { checkpoint, halt } = await readCaptureState(session);
  const halted = halt?.reason ?? null;
  try {
    const identity = await source.identify();
    const position = (await currentPosition(source, identity)) ?? null;
    const logEnd = { flavour: identity.flavour, position };
    const at = checkpoint?.position;
    if (position === null || !at) return { logEnd, behindBytes: null, halted, problem: null };
    // The log was reset or truncated: its present contents were not captured.
    if (endsBefore(position, at)) return { logEnd, behindBytes: null, halted, problem: null };
    if (hasReached(at, position)) return { logEnd, behindBytes: 0, halted, problem: null };
    return { logEnd, behindBytes: (await estimateRunway(source, at)).behindBytes, halted, problem: null };
  } catch (error) {
    const logEnd = { flavour: checkpoint?.flavour ?? 'mysql', position: null };
    return { logEnd, behindBytes: null, halted, problem: messageOf(error) };
  }
}

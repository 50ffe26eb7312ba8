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
  /** Bytes that are not captured yet; 0 when all is, null when that cannot be told. */
  behindBytes: number | null;
  /** Why capture is halted; null while it is not. */
  halted: string | null;
  /** Why the source could not be asked. */
  problem: string | null;
}

/** Asks where the source's log ends and how far capture is. A source that does not answer is part of the answer. */
export async function readBacklog(source: Source, session: Session): Promise<Backlog> {
  const { checkpoint, halt } = await readCaptureState(session);
  const halted = halt?.reason ?? null;
  try {
    const identity = await source.identify();
    const position = (await currentPosition(source, identity)) ?? null;
    const logEnd = { flavour: identity.flavour, position };
    const at = checkpoint?.position;
    if (position === null || !at) return { logEnd, behindBytes: null, halted, problem: null };
    // The log was reset or cut: what it holds now was not captured.
    if (endsBefore(position, at)) return { logEnd, behindBytes: null, halted, problem: null };
    if (hasReached(at, position)) return { logEnd, behindBytes: 0, halted, problem: null };
    return { logEnd, behindBytes: (await estimateRunway(source, at)).behindBytes, halted, problem: null };
  } catch (error) {
    const logEnd = { flavour: checkpoint?.flavour ?? 'mysql', position: null };
    return { logEnd, behindBytes: null, halted, problem: messageOf(error) };
  }
}

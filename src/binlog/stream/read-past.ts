import { randomUUID } from 'node:crypto';
import { HaltError, type Halt } from '../halt.ts';
import { randomServerId } from '../source/log-file.ts';
import { openStream, type BinlogStream, type StreamOptions } from '../stream.ts';
import { mergeBaselines, StaleSchemaError } from '../transaction/stale-schema.ts';
import type { Baseline, Position, TransactionPart } from '../types.ts';

/** Behind so many transactions that cannot be read, the rest is not worth reading. */
const MAX_PASSED_OVER = 20;

/**
 * Opens a reader beside the one of capture. It ends where the log ends now, and has an identity of its own: the server ends a reader
 * when another one with the same id connects.
 */
export function openPastStream(
  options: Omit<StreamOptions, 'serverId' | 'replicaUuid' | 'heartbeatMs' | 'bufferBytes' | 'endsWithLog'> &
    Partial<Pick<StreamOptions, 'heartbeatMs' | 'bufferBytes'>>,
): Promise<BinlogStream> {
  return openStream({
    heartbeatMs: 5_000,
    bufferBytes: 16 * 1024 * 1024,
    ...options,
    serverId: randomServerId(),
    replicaUuid: randomUUID(),
    endsWithLog: true,
  });
}

/** What the next reader must know. */
export interface ReadingPlace {
  position: Position;
  time: StreamOptions['time'];
  /** What the log has shown of the tables. */
  baseline: Baseline;
  /** Transactions that are passed over. */
  waived: ReadonlySet<string>;
}

export interface PastReading {
  from: Pick<ReadingPlace, 'position'> & Partial<ReadingPlace>;
  /** Opens a reader at a place: the first one, and another one where that must continue. */
  open(place: ReadingPlace): Promise<BinlogStream>;
  /** Passes over transactions that cannot be read, 20 at most; called for each. Left out, the first one ends the reading. */
  onPassedOver?(halt: Halt): void;
  /** Whether a reader that continues requires what the log has shown before, as the one of capture does. */
  keepsShown?: boolean;
}

/**
 * Reads a stretch of the log, as much at a time as has arrived, until its present end. Where the log shows more of the tables than the
 * reader was opened for, and behind a transaction that is passed over, another reader continues after the last whole transaction: one
 * that was cut begins again with `firstOrdinal` 0. Throws what `openStream` and its reader throw.
 */
export async function* readPast({
  from,
  open,
  onPassedOver,
  keepsShown = false,
}: PastReading): AsyncGenerator<TransactionPart[], void, undefined> {
  let place: ReadingPlace = { time: undefined, baseline: {}, waived: new Set(), ...from };
  for (;;) {
    const stream = await open(place);
    try {
      for (;;) {
        const parts = await stream.take();
        if (parts.length === 0) return;
        yield parts;
        place = placeBehind(place, parts, keepsShown);
      }
    } catch (error) {
      if (error instanceof StaleSchemaError) {
        place = { ...place, baseline: mergeBaselines(place.baseline, error.shown) };
        continue;
      }
      if (!(error instanceof HaltError) || !onPassedOver) throw error;
      const { transactionId } = error.halt;
      if (transactionId === null || place.waived.size === MAX_PASSED_OVER) throw error;
      onPassedOver(error.halt);
      place = { ...place, waived: new Set([...place.waived, transactionId]) };
    } finally {
      stream.close();
    }
  }
}

function placeBehind(
  place: ReadingPlace,
  parts: readonly TransactionPart[],
  keepsShown: boolean,
): ReadingPlace {
  const last = parts.findLast(({ commit }) => commit !== null)?.commit;
  if (!last) return place;
  const shown = keepsShown && parts.findLast(({ commit }) => commit?.baseline)?.commit?.baseline;
  return { ...place, position: last.position, time: last, ...(shown && { baseline: shown }) };
}

import { randomUUID } from 'node:crypto';
import { HaltError, type Halt } from '../halt.ts';
import { randomServerId } from '../source/log-file.ts';
import { openStream, type BinlogStream, type StreamOptions } from '../stream.ts';
import { mergeBaselines, StaleSchemaError } from '../transaction/stale-schema.ts';
import type { Baseline, Position, TransactionPart } from '../types.ts';

/** After this many unreadable transactions reading stops. */
const MAX_PASSED_OVER = 20;

/**
 * Opens a reader in addition to the capture reader. It ends at the log's current end, and has its own id: the server disconnects a
 * reader when another one connects with the same id.
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

/** The state with which the next reader starts. */
export interface ReadingPlace {
  position: Position;
  time: StreamOptions['time'];
  /** What the log has shown about the tables. */
  baseline: Baseline;
  /** Transactions to skip. */
  waived: ReadonlySet<string>;
}

export interface PastReading {
  from: Pick<ReadingPlace, 'position'> & Partial<ReadingPlace>;
  /** Opens a reader at a place: the first one, and each one that continues. */
  open(place: ReadingPlace): Promise<BinlogStream>;
  /** Skips transactions that cannot be read, at most 20; called for each. If omitted, the first one ends the reading. */
  onPassedOver?(halt: Halt): void;
  /** Whether a continuing reader needs what the log has shown before, as the capture reader does. */
  keepsShown?: boolean;
}

/**
 * Reads a range of the log up to its current end, yielding what has arrived. If the log shows more columns of a table than the reader
 * was opened for, and after a skipped transaction, another reader continues after the last complete transaction: an interrupted
 * transaction starts again with `firstOrdinal` 0. Throws the errors of `openStream` and of its reader.
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

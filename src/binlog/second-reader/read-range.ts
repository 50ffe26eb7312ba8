import { HaltError, type Halt } from '../halt.ts';
import { hasReached } from '../position/log-place.ts';
import type { WatchOptions } from '../statement/watched-names.ts';
import type { BinlogStream, StreamOptions } from '../stream.ts';
import { openPastStream, readPast, type ReadingPlace } from '../stream/read-past.ts';
import type { DecodingOptions } from '../transaction/assembler-options.ts';
import type { LogPlace, Position, TransactionPart } from '../types.ts';
import { RangeRecorder, type RecordLimits } from './range-recorder.ts';

const HEARTBEAT_MS = 1_000;
const BUFFER_BYTES = 8 * 1024 * 1024;

export interface RangeOptions extends WatchOptions, DecodingOptions {
  url: StreamOptions['url'];
  position: Position;
  /** Where the log ended when the reading was requested. */
  until: LogPlace;
  limits: RecordLimits;
  timeMs: number;
  signal?: AbortSignal;
}

export interface RecordedRange {
  recorder: RangeRecorder;
  /** Transactions at which capture would halt. */
  halts: Halt[];
  /** `end`: the whole range was read. `rows`, `time`: a limit was reached first. `halt`: nothing after it can be read. */
  stoppedBy: 'end' | 'rows' | 'time' | 'halt';
}

/** Reads a range of the log as a separate replica, as capture would, and keeps what the limits allow. */
export async function readRange(options: RangeOptions): Promise<RecordedRange> {
  const { position, limits, signal } = options;
  const recorder = new RangeRecorder(position, limits);
  const halts: Halt[] = [];
  const time = new AbortController();
  const end = (): void => time.abort();
  const timer = setTimeout(end, options.timeMs);
  signal?.addEventListener('abort', end, { once: true });
  const parts = readPast({
    from: { position },
    open: (place) => openRange(options, place, time.signal),
    onPassedOver(halt) {
      halts.push(halt);
      recorder.waive(halt.transactionId!);
    },
  });
  try {
    const limit = await record(parts, recorder, options.until);
    return { recorder, halts, stoppedBy: limit ?? (time.signal.aborted ? 'time' : 'end') };
  } catch (error) {
    if (!(error instanceof HaltError)) throw error;
    halts.push(error.halt);
    return { recorder, halts, stoppedBy: 'halt' };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  }
}

/** Opens a reader that closes when the time is up. */
async function openRange(
  options: RangeOptions,
  { position, waived, baseline }: ReadingPlace,
  time: AbortSignal,
): Promise<BinlogStream> {
  const stream = await openPastStream({
    ...options,
    position,
    byFile: true,
    heartbeatMs: HEARTBEAT_MS,
    bufferBytes: BUFFER_BYTES,
    waived,
    baseline,
  });
  const close = (): void => stream.close();
  time.addEventListener('abort', close, { once: true });
  if (time.aborted) close();
  return stream;
}

/** Records until a limit is reached or the range ends; null if the reader ended first. */
async function record(
  parts: AsyncIterable<readonly TransactionPart[]>,
  recorder: RangeRecorder,
  until: LogPlace,
): Promise<'rows' | 'end' | null> {
  for await (const arrived of parts) {
    for (const part of arrived) {
      recorder.add(part);
      if (!part.commit) continue;
      if (recorder.isFull) return 'rows';
      if (hasReached(part.commit.position, until)) return 'end';
    }
  }
  return null;
}

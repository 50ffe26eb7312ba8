import { randomUUID } from 'node:crypto';
import { monotonicMs } from '../../lib/clock.ts';
import { HaltError, type Halt } from '../halt.ts';
import { randomServerId } from '../source/log-file.ts';
import { hasReached } from '../position/log-place.ts';
import { mergeBaselines, OutgrownError } from '../transaction/outgrown.ts';
import { openStream, type BinlogStream, type StreamOptions } from '../stream.ts';
import type { Baseline, LogPlace, Position } from '../types.ts';
import { RangeRecorder, type RecordLimits } from './range-recorder.ts';

const HEARTBEAT_MS = 1_000;
const BUFFER_BYTES = 8 * 1024 * 1024;
/** Where the log cannot be read again and again, the rest is not worth reading. */
const MAX_HALTS = 20;

export interface RangeOptions extends Pick<
  StreamOptions,
  'url' | 'flavour' | 'charsetOf' | 'columnsOf' | 'namedIn' | 'hintsOf' | 'isWatchedSchema' | 'watchedTables'
> {
  position: Position;
  /** Where the log ended when the reading was asked for. */
  until: LogPlace;
  limits: RecordLimits;
  timeMs: number;
  signal?: AbortSignal;
}

export interface RecordedRange {
  recorder: RangeRecorder;
  /** Transactions that capture would halt at. */
  halts: Halt[];
  /** `end`: the whole range was read. `rows`, `time`: a limit came before. `halt`: nothing behind it can be read. */
  stoppedBy: 'end' | 'rows' | 'time' | 'halt';
}

/** Reads a range of the log under an identity of its own, as capture would, and keeps what the limits allow. */
export async function readRange(options: RangeOptions): Promise<RecordedRange> {
  const recorder = new RangeRecorder(options.position, options.limits);
  const deadline = monotonicMs() + options.timeMs;
  const halts: Halt[] = [];
  let beyond: Baseline = {};
  let from = options.position;
  for (;;) {
    const waived = new Set(halts.flatMap(({ transactionId }) => transactionId ?? []));
    const stream = await open(options, { from, waived, beyond });
    try {
      return {
        recorder,
        halts,
        stoppedBy: await read(stream, recorder, { ...options, deadline }, (to) => (from = to)),
      };
    } catch (error) {
      if (error instanceof OutgrownError) {
        beyond = mergeBaselines(beyond, error.shown);
        continue;
      }
      if (!(error instanceof HaltError)) throw error;
      halts.push(error.halt);
      const { transactionId } = error.halt;
      if (transactionId === null || halts.length === MAX_HALTS) return { recorder, halts, stoppedBy: 'halt' };
      recorder.waive(transactionId);
    } finally {
      stream.close();
      recorder.abandon();
    }
  }
}

function open(
  options: RangeOptions,
  { from, waived, beyond }: { from: Position; waived: ReadonlySet<string>; beyond: Baseline },
): Promise<BinlogStream> {
  return openStream({
    ...options,
    position: from,
    byFile: true,
    serverId: randomServerId(),
    replicaUuid: randomUUID(),
    heartbeatMs: HEARTBEAT_MS,
    bufferBytes: BUFFER_BYTES,
    endsWithLog: true,
    waived,
    baseline: beyond,
  });
}

async function read(
  stream: BinlogStream,
  recorder: RangeRecorder,
  { until, deadline, signal }: Pick<RangeOptions, 'until' | 'signal'> & { deadline: number },
  onCommitted: (position: Position) => void,
): Promise<Exclude<RecordedRange['stoppedBy'], 'halt'>> {
  let isLate = false;
  const end = (): void => {
    isLate = true;
    stream.close();
  };
  const timer = setTimeout(end, Math.max(0, deadline - monotonicMs()));
  signal?.addEventListener('abort', end, { once: true });
  try {
    for (;;) {
      const parts = await stream.take();
      if (parts.length === 0) return isLate ? 'time' : 'end';
      for (const part of parts) {
        recorder.add(part);
        if (!part.commit) continue;
        const { position } = part.commit;
        onCommitted(position);
        if (recorder.isFull) return 'rows';
        if (hasReached(position, until)) return 'end';
      }
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  }
}

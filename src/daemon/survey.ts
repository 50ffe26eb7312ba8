import { randomUUID } from 'node:crypto';
import { haltOf, HaltError, Tripwire, type Halt } from '../binlog/halt.ts';
import { randomServerId } from '../binlog/log-file.ts';
import type { Source } from '../binlog/source.ts';
import { openStream, type BinlogStream } from '../binlog/stream.ts';
import type { Baseline, Commit, Position, RowEvent } from '../binlog/types.ts';
import { netChanges } from '../change/net-changes.ts';
import { lookupsOf, readingOf, type Clinic } from './clinic.ts';

const BUFFER_BYTES = 16 * 1024 * 1024;
const HEARTBEAT_MS = 5_000;
/** The rows of a larger transaction are not mapped: capture itself stops at it, should they lack what a rule needs. */
const MAPPED_BYTES = 8 * 1024 * 1024;

export interface SurveyOptions {
  source: Source;
  clinic: Clinic;
  /** Where capture stands. */
  position: Position;
  waived: readonly string[];
  baseline: Baseline;
}

/** What capture will meet from where it stands on. */
export interface Survey {
  /** One for each transaction that cannot be read. */
  unreadable: Halt[];
  /** Transactions with changes of watched rows that can be read. */
  readable: number;
  /** Behind the last transaction that was looked at. */
  reached: Position;
  /** Why the survey ended early: a definition of a watched table, which stands for all that comes after it. */
  stoppedAt: Halt | null;
}

/**
 * Reads what was committed up to a moment as capture would, under an identity of its own, and passes over what cannot be read.
 * Nothing is written.
 */
export async function surveyLog(options: SurveyOptions, untilMs: number): Promise<Survey> {
  const { position, waived } = options;
  const found = new Map<string, Halt>();
  const survey: Survey = { unreadable: [], readable: 0, reached: position, stoppedAt: null };
  const note = (halt: Halt): unknown => found.set(halt.transactionId!, halt);
  const stream = await openSurvey(options, note);
  const known = new Set(waived);
  try {
    for await (const { id, rows, commit } of transactionsOf(stream)) {
      if (commit.committedAtMs > untilMs) break;
      if (rows.length > 0 && !known.has(id) && !found.has(id)) {
        const halt = await findAbsent(rows, { ...options, id, commit, position: survey.reached });
        if (halt) note(halt);
        else survey.readable += 1;
      }
      survey.reached = commit.position;
    }
  } catch (error) {
    if (!(error instanceof HaltError)) throw error;
    survey.stoppedAt = error.halt;
  } finally {
    stream.close();
  }
  // The reader is ahead of what was taken from it.
  survey.unreadable = [...found.values()].filter(({ span }) => (span.fromMs ?? 0) <= untilMs);
  return survey;
}

/** What the server says against being read from a position; null when it sends its log. */
export async function askForLog(options: SurveyOptions): Promise<Halt | null> {
  const stream = await openSurvey(options, () => undefined);
  try {
    await stream.take();
    return null;
  } catch (error) {
    if (error instanceof HaltError) return error.halt.transactionId === null ? error.halt : null;
    throw error;
  } finally {
    stream.close();
  }
}

function openSurvey(
  { source, clinic, position, waived, baseline }: SurveyOptions,
  onUnreadable: (halt: Halt) => void,
): Promise<BinlogStream> {
  return openStream({
    ...readingOf(clinic),
    url: source.url,
    position,
    // A reader with the id of another one would end it: the daemon's among them.
    serverId: randomServerId(),
    replicaUuid: randomUUID(),
    heartbeatMs: HEARTBEAT_MS,
    bufferBytes: BUFFER_BYTES,
    endsWithLog: true,
    waived: new Set(waived),
    baseline,
    onUnreadable,
  });
}

interface Whole {
  id: string;
  /** None of a transaction that is too large to be mapped here. */
  rows: RowEvent[];
  commit: Commit;
}

async function* transactionsOf(stream: BinlogStream): AsyncGenerator<Whole, void, undefined> {
  let rows: RowEvent[] = [];
  let bytes = 0;
  for (;;) {
    const parts = await stream.take();
    if (parts.length === 0) return;
    for (const part of parts) {
      bytes += part.bytes;
      if (bytes > MAPPED_BYTES) rows = [];
      else for (const row of part.rows) rows.push(row);
      if (!part.commit) continue;
      yield { id: part.id, rows, commit: part.commit };
      rows = [];
      bytes = 0;
    }
  }
}

/** The halt of a rule that hangs on what the log left out of a row, where that cannot be read late. */
async function findAbsent(
  rows: readonly RowEvent[],
  { source, clinic, id, commit, position }: SurveyOptions & { id: string; commit: Commit },
): Promise<Halt | null> {
  const { reread } = lookupsOf(source, clinic, () => undefined);
  const { committedAtMs } = commit;
  try {
    await clinic.rules.map(netChanges(rows), {
      lineage: '',
      transactionId: id,
      committedAtMs,
      resolve: () => Promise.resolve([]),
      ...(reread ? { reread } : {}),
    });
    return null;
  } catch (error) {
    if (!(error instanceof Tripwire)) throw error;
    return haltOf(error, position, { id, committedAtMs });
  }
}

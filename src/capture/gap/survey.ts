import { randomUUID } from 'node:crypto';
import { haltOf, HaltError, Tripwire, type Halt } from '../../binlog/halt.ts';
import { randomServerId } from '../../binlog/source/log-file.ts';
import type { Source } from '../../binlog/source/source.ts';
import { mergeBaselines, OutgrownError } from '../../binlog/transaction/outgrown.ts';
import { openStream, type BinlogStream, type StreamOptions } from '../../binlog/stream.ts';
import type { Baseline, Commit, Position } from '../../binlog/types.ts';
import { lookupsOf, readingOf, type Clinic } from '../clinic.ts';
import { GatheredRows } from '../transaction/gathered-rows.ts';

const BUFFER_BYTES = 16 * 1024 * 1024;
const HEARTBEAT_MS = 5_000;

export interface SurveyOptions {
  source: Source;
  /** The tables and the rules, as they are read once the log has shown so much. */
  readTables(baseline: Baseline): Promise<Clinic>;
  /** Where capture stands. */
  position: Position;
  byFile: boolean;
  time: NonNullable<StreamOptions['time']>;
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
  const run = new SurveyRun(options, untilMs);
  await run.readAll();
  return run.survey();
}

/** What the server says against being read from a position; null when it sends its log. */
export async function askForLog(options: SurveyOptions): Promise<Halt | null> {
  const clinic = await options.readTables(options.baseline);
  const stream = await openSurvey({ ...options, clinic, onUnreadable: () => undefined });
  try {
    await stream.take();
    return null;
  } catch (error) {
    if (error instanceof OutgrownError) return null;
    if (error instanceof HaltError) return error.halt.transactionId === null ? error.halt : null;
    throw error;
  } finally {
    stream.close();
  }
}

interface Opening extends SurveyOptions {
  clinic: Clinic;
  onUnreadable(halt: Halt): void;
}

function openSurvey({
  source,
  clinic,
  position,
  byFile,
  time,
  waived,
  baseline,
  onUnreadable,
}: Opening): Promise<BinlogStream> {
  return openStream({
    ...readingOf(clinic),
    url: source.url,
    position,
    byFile,
    time,
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

class SurveyRun {
  readonly #options: SurveyOptions;
  readonly #untilMs: number;
  readonly #waived: ReadonlySet<string>;
  /** By transaction: the reader is ahead of what is taken from it, and reports the same one again when it is reopened. */
  readonly #unreadable = new Map<string, Halt>();
  readonly #rows = new GatheredRows();
  #readable = 0;
  #reached: Position;
  #time: SurveyOptions['time'];
  #baseline: Baseline;
  #stoppedAt: Halt | null = null;

  constructor(options: SurveyOptions, untilMs: number) {
    this.#options = options;
    this.#untilMs = untilMs;
    this.#waived = new Set(options.waived);
    this.#reached = options.position;
    this.#time = options.time;
    this.#baseline = options.baseline;
  }

  /** As capture does, opens another reader where the log shows more than one was opened for. */
  async readAll(): Promise<void> {
    for (;;) {
      try {
        await this.#read();
        return;
      } catch (error) {
        if (error instanceof HaltError) {
          this.#stoppedAt = error.halt;
          return;
        }
        if (!(error instanceof OutgrownError)) throw error;
        this.#baseline = mergeBaselines(this.#baseline, error.shown);
      }
    }
  }

  survey(): Survey {
    const unreadable = [...this.#unreadable.values()].filter(
      ({ span }) => (span.fromMs ?? 0) <= this.#untilMs,
    );
    return { unreadable, readable: this.#readable, reached: this.#reached, stoppedAt: this.#stoppedAt };
  }

  async #read(): Promise<void> {
    const clinic = await this.#options.readTables(this.#baseline);
    const stream = await openSurvey({
      ...this.#options,
      clinic,
      position: this.#reached,
      time: this.#time,
      baseline: this.#baseline,
      onUnreadable: (halt) => this.#note(halt),
    });
    try {
      for (;;) {
        const parts = await stream.take();
        if (parts.length === 0) return;
        for (const part of parts) {
          await this.#rows.add(part);
          if (!part.commit) continue;
          if (part.commit.committedAtMs > this.#untilMs) return;
          await this.#judge(part.id, part.commit, clinic);
          await this.#rows.clear();
        }
      }
    } finally {
      stream.close();
      await this.#rows.clear();
    }
  }

  #note(halt: Halt): void {
    this.#unreadable.set(halt.transactionId!, halt);
  }

  async #judge(id: string, commit: Commit, clinic: Clinic): Promise<void> {
    if (!this.#rows.isEmpty && !this.#waived.has(id) && !this.#unreadable.has(id)) {
      const halt = await this.#findAbsent(id, commit, clinic);
      if (halt) this.#note(halt);
      else this.#readable += 1;
    }
    this.#reached = commit.position;
    this.#time = commit;
    this.#baseline = commit.baseline ?? this.#baseline;
  }

  /** The halt of a rule that depends on what the log left out of a row, where that cannot be read late. */
  async #findAbsent(id: string, { committedAtMs }: Commit, clinic: Clinic): Promise<Halt | null> {
    const { reread } = lookupsOf(this.#options.source, clinic, () => undefined);
    const siblings = clinic.rules.gatherSiblings(reread ? { reread } : {});
    try {
      for await (const changes of this.#rows.netChanges((all) => siblings.add(all))) {
        await clinic.rules.map(changes, {
          lineage: '',
          transactionId: id,
          committedAtMs,
          isPart: this.#rows.isPart,
          ...(this.#rows.isPart ? { siblings } : {}),
          resolve: () => Promise.resolve([]),
          ...(reread ? { reread } : {}),
        });
      }
      return null;
    } catch (error) {
      if (!(error instanceof Tripwire)) throw error;
      return haltOf(error, this.#reached, { id, committedAtMs });
    }
  }
}

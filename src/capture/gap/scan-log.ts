import { haltOf, HaltError, CaptureFault, type Halt } from '../../binlog/halt.ts';
import type { Source } from '../../binlog/source/source.ts';
import { StaleSchemaError } from '../../binlog/transaction/stale-schema.ts';
import type { BinlogStream, StreamOptions } from '../../binlog/stream.ts';
import { openPastStream, readPast, type ReadingPlace } from '../../binlog/stream/read-past.ts';
import type { Baseline, Position } from '../../binlog/types.ts';
import { lookupsOf, readingOf, type CompiledSource } from '../compiled-source.ts';
import { readTransactions, type Transaction } from '../transaction/read-transactions.ts';

export interface LogScanOptions {
  source: Source;
  /** Reads the tables and the rules for what the log has shown so far. */
  readTables(baseline: Baseline): Promise<CompiledSource>;
  /** Where capture stands. */
  position: Position;
  byFile: boolean;
  time: NonNullable<StreamOptions['time']>;
  waived: readonly string[];
  baseline: Baseline;
}

/** What capture will find from its position on. */
export interface LogScan {
  /** One for each transaction that cannot be read. */
  unreadable: Halt[];
  /** Transactions with changes of watched rows that can be read. */
  readable: number;
  /** The position after the last scanned transaction. */
  reached: Position;
  /** Why the scan ended early: a definition of a watched table, after which nothing was scanned. */
  stoppedAt: Halt | null;
}

/**
 * Reads what was committed up to a moment as capture would, under an identity of its own, and skips what cannot be read.
 * Nothing is written.
 */
export async function scanLog(options: LogScanOptions, untilMs: number): Promise<LogScan> {
  const run = new ScanRun(options, untilMs);
  await run.readAll();
  return run.scan();
}

/** The server's error when the log is requested from a position; null when it sends its log. */
export async function askForLog(options: LogScanOptions): Promise<Halt | null> {
  const clinic = await options.readTables(options.baseline);
  const stream = await openScan({ ...options, clinic, onUnreadable: () => undefined });
  try {
    await stream.take();
    return null;
  } catch (error) {
    if (error instanceof StaleSchemaError) return null;
    if (error instanceof HaltError) return error.halt.transactionId === null ? error.halt : null;
    throw error;
  } finally {
    stream.close();
  }
}

interface Opening extends LogScanOptions {
  clinic: CompiledSource;
  onUnreadable(halt: Halt): void;
}

function openScan({
  source,
  clinic,
  position,
  byFile,
  time,
  waived,
  baseline,
  onUnreadable,
}: Opening): Promise<BinlogStream> {
  return openPastStream({
    ...readingOf(clinic),
    url: source.url,
    position,
    byFile,
    time,
    waived: new Set(waived),
    baseline,
    onUnreadable,
  });
}

class ScanRun {
  readonly #options: LogScanOptions;
  readonly #untilMs: number;
  readonly #waived: ReadonlySet<string>;
  /** Keyed by transaction, because the reader reads ahead and reports the same transaction again when it is reopened. */
  readonly #unreadable = new Map<string, Halt>();
  /** The tables as the present reader knows them. */
  #clinic: CompiledSource | undefined;
  #readable = 0;
  #reached: Position;
  #stoppedAt: Halt | null = null;

  constructor(options: LogScanOptions, untilMs: number) {
    this.#options = options;
    this.#untilMs = untilMs;
    this.#waived = new Set(options.waived);
    this.#reached = options.position;
  }

  async readAll(): Promise<void> {
    const { position, time, baseline } = this.#options;
    const parts = readPast({
      from: { position, time, baseline },
      open: (place) => this.#open(place),
      keepsShown: true,
    });
    try {
      for await (const transaction of readTransactions(parts)) {
        if (!transaction) continue;
        if (transaction.commit.committedAtMs > this.#untilMs) return;
        await this.#map(transaction, this.#clinic!);
      }
    } catch (error) {
      if (!(error instanceof HaltError)) throw error;
      this.#stoppedAt = error.halt;
    }
  }

  scan(): LogScan {
    const unreadable = [...this.#unreadable.values()].filter(
      ({ span }) => (span.fromMs ?? 0) <= this.#untilMs,
    );
    return { unreadable, readable: this.#readable, reached: this.#reached, stoppedAt: this.#stoppedAt };
  }

  async #open({ position, time = this.#options.time, baseline }: ReadingPlace): Promise<BinlogStream> {
    this.#clinic = await this.#options.readTables(baseline);
    return openScan({
      ...this.#options,
      clinic: this.#clinic,
      position,
      time,
      baseline,
      onUnreadable: (halt) => this.#note(halt),
    });
  }

  #note(halt: Halt): void {
    this.#unreadable.set(halt.transactionId!, halt);
  }

  async #map(transaction: Transaction, clinic: CompiledSource): Promise<void> {
    const { id, commit, isEmpty } = transaction;
    if (!isEmpty && !this.#waived.has(id) && !this.#unreadable.has(id)) {
      const halt = await this.#findAbsent(transaction, clinic);
      if (halt) this.#note(halt);
      else this.#readable += 1;
    }
    this.#reached = commit.position;
  }

  /** The halt of a rule that depends on columns missing from the log, when they cannot be read late. */
  async #findAbsent(transaction: Transaction, clinic: CompiledSource): Promise<Halt | null> {
    const { id, isPart } = transaction;
    const { committedAtMs } = transaction.commit;
    const { reread } = lookupsOf(this.#options.source, clinic, () => undefined);
    const siblings = clinic.rules.gatherSiblings(reread ? { reread } : {});
    try {
      for await (const changes of transaction.changes((all) => siblings.add(all))) {
        await clinic.rules.map(changes, {
          lineage: '',
          transactionId: id,
          committedAtMs,
          isPart,
          ...(isPart ? { siblings } : {}),
          resolve: () => Promise.resolve([]),
          ...(reread ? { reread } : {}),
        });
      }
      return null;
    } catch (error) {
      if (!(error instanceof CaptureFault)) throw error;
      return haltOf(error, this.#reached, { id, committedAtMs });
    }
  }
}

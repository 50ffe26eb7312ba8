import { createRequire } from 'node:module';
import { HaltError } from '../binlog/halt.ts';
import { acceptGapCommand, steps } from '../binlog/remedy.ts';
import type { Comparison, Difference } from '../binlog/second-reader/compare/comparison.ts';
import { RangeRecorder } from '../binlog/second-reader/range-recorder.ts';
import { runSecondReader } from '../binlog/second-reader/second-reader.ts';
import { toJob } from '../binlog/second-reader/to-job.ts';
import type { Source } from '../binlog/source/source.ts';
import type { Position, TableSchema, TransactionPart } from '../binlog/types.ts';
import type { Store } from '../db/connection/client.ts';
import { systemClock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { noteComparison, readDecoderRecord, type DecoderRecord } from '../outbox/decoder-record.ts';
import type { CompiledSource } from './compiled-source.ts';
import { checkDecoder, countCompared, tableName } from './decode-check.ts';

/** How much of the past a first run compares before anything is sent: a larger log is compared while capture runs. */
const RECENT = { sinceMs: 2 * 3_600_000, rows: 1_000, timeMs: 5_000, logBytes: 64 * 1024 * 1024 };
/** While capture runs: rows are gathered for this long, or up to this number, and then compared. */
const BESIDE = { gatherMs: 2_000, rows: 1_000, bytes: 8 * 1024 * 1024, timeMs: 30_000 };
/** Maximum number of tries in one process for a table of which zongji reads nothing. */
const MAX_TRIES = 3;

const { version, dependencies } = createRequire(import.meta.url)('../../package.json') as {
  version: string;
  dependencies: Record<string, string>;
};
const versions = `${version}, zongji ${dependencies['@vlasky/zongji'] ?? ''}`;

export interface SecondReadingOptions {
  source: Source;
  store: Store;
  log: Log;
  metrics: Record<'decoderCells' | 'decoderDifferences', { inc(by: number): void }>;
  /** Compares with zongji; a test puts a fault into what it is given. */
  compare?: typeof runSecondReader;
}

export interface Beginning {
  position: Position;
  /** Nothing was captured before. */
  isFirst: boolean;
  signal: AbortSignal;
  /** Called when a difference was found while capture runs: the reader must be opened again, which throws the halt. */
  onDifference(): void;
}

/**
 * Compares our decoder with zongji until rows of every watched table were compared once with these versions: at a first run before anything is captured,
 * otherwise while capture runs.
 */
export interface SecondReading {
  /** Before a reader is opened. Throws a HaltError while a difference exists with this version and is not accepted. */
  begin(clinic: CompiledSource, beginning: Beginning): Promise<void>;
  /** Everything that the reader returns, in order. */
  take(parts: readonly TransactionPart[]): void;
  /** Ends the running comparison; `begin` starts a new one. */
  pause(): Promise<void>;
}

export function createSecondReading(options: SecondReadingOptions): SecondReading {
  return new Comparing(options);
}

class Comparing implements SecondReading {
  readonly #options: SecondReadingOptions;
  readonly #tries = new Map<string, number>();
  #clinic: CompiledSource | undefined;
  #beginning: Beginning | undefined;
  /** Tables that were not compared yet. */
  #waiting = new Set<string>();
  /** The end of the last transaction; null within one. */
  #position: Position | null = null;
  #recorder: RangeRecorder | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #abort = new AbortController();

  constructor(options: SecondReadingOptions) {
    this.#options = options;
  }

  async begin(clinic: CompiledSource, beginning: Beginning): Promise<void> {
    await this.pause();
    this.#abort = new AbortController();
    const { store } = this.#options;
    let record = await store.transaction((tx) => readDecoderRecord(tx, versions));
    requireAlike(record, beginning.position);
    if (beginning.isFirst && record.tables.length === 0) {
      record = (await this.#compareRecent(clinic, beginning.signal)) ?? record;
      requireAlike(record, beginning.position);
    }
    this.#clinic = clinic;
    this.#beginning = beginning;
    this.#position = beginning.position;
    this.#wait(record);
  }

  take(parts: readonly TransactionPart[]): void {
    if (this.#waiting.size === 0) return;
    for (const part of parts) {
      if (!this.#running && !this.#recorder && this.#position && this.#isAwaited(part))
        this.#record(this.#position);
      this.#recorder?.add(part);
      this.#position = part.commit?.position ?? null;
      if (part.commit && this.#recorder?.isFull) this.#compareRecorded();
    }
  }

  async pause(): Promise<void> {
    clearTimeout(this.#timer);
    this.#abort.abort();
    this.#recorder = undefined;
    this.#waiting = new Set();
    await this.#running;
  }

  #wait({ tables }: DecoderRecord): void {
    const compared = new Set(tables);
    const watched = [...this.#clinic!.rules.watch.keys()];
    this.#waiting = new Set(
      watched.filter((name) => !compared.has(name) && (this.#tries.get(name) ?? 0) < MAX_TRIES),
    );
  }

  #isAwaited({ rows }: TransactionPart): boolean {
    let last: TableSchema | undefined;
    return rows.some(({ table }) => {
      if (table === last) return false;
      last = table;
      return this.#waiting.has(table.name.toLowerCase());
    });
  }

  #record(position: Position): void {
    this.#recorder = new RangeRecorder(position, BESIDE);
    this.#timer = setTimeout(() => this.#compareRecorded(), BESIDE.gatherMs).unref();
  }

  #compareRecorded(): void {
    const recorder = this.#recorder;
    clearTimeout(this.#timer);
    this.#recorder = undefined;
    if (!recorder || !this.#clinic || !this.#beginning) return;
    const beginning = this.#beginning;
    this.#running = this.#compare(recorder, this.#clinic, beginning)
      .catch((error: unknown) =>
        this.#options.log.warn({ error: messageOf(error) }, 'the decoder was not compared with zongji'),
      )
      .finally(() => (this.#running = undefined));
  }

  async #compare(
    recorder: RangeRecorder,
    clinic: CompiledSource,
    { onDifference }: Beginning,
  ): Promise<void> {
    // No transaction fitted: the next fitting one is compared.
    if (recorder.transactions.length === 0) return;
    const { compare = runSecondReader, source } = this.#options;
    const { signal } = this.#abort;
    const seen = new Set(
      recorder.transactions.flatMap(({ rows }) => rows.map(({ table }) => table.name.toLowerCase())),
    );
    for (const table of seen) this.#tries.set(table, (this.#tries.get(table) ?? 0) + 1);
    const job = toJob(recorder, {
      url: source.url,
      dictionary: clinic.dictionary,
      tables: clinic.rules.watch.keys(),
      foldsNames: clinic.identity.lowerCaseTableNames !== 0,
    });
    const compared = await compare(job, { timeMs: BESIDE.timeMs, signal });
    if (signal.aborted) return;
    const record = await this.#note(compared);
    this.#wait(record);
    if (record.differences.length > 0) onDifference();
  }

  async #compareRecent(clinic: CompiledSource, signal: AbortSignal): Promise<DecoderRecord | null> {
    const { compare, log, source } = this.#options;
    try {
      const checked = await checkDecoder({
        source,
        clinic,
        ...RECENT,
        sinceMs: systemClock.now() - RECENT.sinceMs,
        signal,
        ...(compare && { compare }),
      });
      return signal.aborted ? null : await this.#note(checked);
    } catch (error) {
      log.warn(
        { error: messageOf(error) },
        'the decoder was not compared with zongji before capture: it is compared while capture runs',
      );
      return null;
    }
  }

  async #note(compared: Comparison): Promise<DecoderRecord> {
    const { log, metrics, store } = this.#options;
    const { tables, rows, cells, leftOutRows, leftOutCells } = countCompared(compared);
    const { differences } = compared;
    metrics.decoderCells.inc(cells);
    metrics.decoderDifferences.inc(differences.length);
    if (rows + leftOutRows + differences.length > 0)
      log.info(
        {
          tables,
          rows,
          cells,
          left_out_rows: leftOutRows,
          left_out_cells: leftOutCells,
          differences: differences.length,
        },
        'the decoder was compared with zongji',
      );
    const names = Object.keys(compared.tables).map(tableName);
    return noteComparison(store, versions, { tables: names, differences });
  }
}

function requireAlike({ differences }: DecoderRecord, position: Position): void {
  const [first] = differences;
  if (!first) return;
  throw new HaltError({
    reason: 'decoder-difference',
    message: `Capture stopped after ${position.file}:${position.offset}: our decoder and zongji read ${differences.map(nameOf).join(', ')} differently.`,
    remedy: steps(
      'Compare some values of these columns with their deliveries: odontology-webhooks is right where they are equal.',
      'Then deliver the columns as odontology-webhooks reads them, and report the difference:',
      acceptGapCommand('values compared by hand'),
    ),
    position,
    transactionId: null,
    table: first.table,
    missing: null,
    span: { fromMs: null, untilMs: null },
  });
}

export const nameOf = ({ table, column, type }: Pick<Difference, 'table' | 'column' | 'type'>): string =>
  column === null ? `${table} (${type})` : `${table}.${column} (${type})`;

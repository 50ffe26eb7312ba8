import { textDecoder } from '../binlog/decode/charset.ts';
import type { DictionaryColumn } from '../binlog/source/dictionary.ts';
import { currentPosition } from '../binlog/source/log-file.ts';
import { findPositionAt } from '../binlog/position/position-at.ts';
import type { Comparison } from '../binlog/second-reader/compare/comparison.ts';
import type { Compared } from '../binlog/second-reader/compare-with-zongji.ts';
import { readRange, type RecordedRange } from '../binlog/second-reader/read-range.ts';
import { runSecondReader } from '../binlog/second-reader/second-reader.ts';
import { toJob } from '../binlog/second-reader/to-job.ts';
import type { Source } from '../binlog/source/source.ts';
import type { LogPlace, Watch } from '../binlog/types.ts';
import { monotonicMs } from '../lib/clock.ts';
import { AppError } from '../lib/errors.ts';
import { readingOf, type CompiledSource } from './compiled-source.ts';

/** Maximum number of rows that both readers keep: more rows do not improve the comparison. */
const MAX_BYTES = 8 * 1024 * 1024;

export interface DecodeCheckOptions {
  source: Source;
  clinic: Pick<CompiledSource, 'identity' | 'ownSchema' | 'dictionary' | 'schema' | 'rules'>;
  sinceMs: number;
  /** Maximum number of watched rows. */
  rows: number;
  /** For both readers together. */
  timeMs: number;
  /** Maximum number of bytes of the log that are read. */
  logBytes?: number;
  signal?: AbortSignal;
  /** A test injects a fault here. */
  compare?: typeof runSecondReader;
}

export interface DecodeCheck extends Comparison {
  from: LogPlace;
  until: LogPlace;
  /** Whether the log goes back to the requested time. */
  reachesBack: boolean;
  /** Watched tables without a compared row. */
  withoutRows: string[];
  /** Transactions at which capture would halt; they were not compared. */
  halts: RecordedRange['halts'];
  /** `end`: the end of the log at the beginning. */
  stoppedBy: RecordedRange['stoppedBy'] | Exclude<Compared['end'], 'reached'>;
}

/**
 * Reads the recent log with our decoder and with zongji, both from the same place to the same place, and compares every cell of
 * the watched tables, also of columns that no rule names. Nothing is sent and nothing is written.
 */
export async function checkDecoder(options: DecodeCheckOptions): Promise<DecodeCheck> {
  const { source, clinic, sinceMs, timeMs, signal, compare = runSecondReader } = options;
  const { identity, dictionary } = clinic;
  const end = await currentPosition(source, identity);
  const start = end && (await findPositionAt(source, identity, sinceMs));
  if (!end || !start) throw new AppError('ERR_PREFLIGHT', 'The binary log of the source is off.');
  const watch = wholeTables(clinic);
  const begin = { file: start.position.file, offset: start.position.offset };
  const bytes = start.files.reduce((sum, file) => sum + file.bytes, 0);
  if (bytes > (options.logBytes ?? Infinity))
    return {
      ...nothing,
      from: begin,
      until: begin,
      reachesBack: start.reachesBack,
      halts: [],
      withoutRows: [...watch.keys()],
      stoppedBy: 'time',
    };
  const startedAt = monotonicMs();
  const range = await readRange({
    ...readingOf({ ...clinic, rules: { watch, named: watch } }),
    url: source.url,
    position: start.position,
    until: end,
    limits: { rows: options.rows, bytes: MAX_BYTES, sinceMs },
    timeMs: timeMs / 2,
    ...(signal && { signal }),
  });
  const { recorder, halts, stoppedBy } = range;
  const common = { from: recorder.from, until: recorder.until, reachesBack: start.reachesBack, halts };
  if (recorder.transactions.length === 0)
    return { ...common, ...nothing, withoutRows: [...watch.keys()], stoppedBy };
  const foldsNames = clinic.identity.lowerCaseTableNames !== 0;
  const job = toJob(recorder, { url: source.url, dictionary, tables: watch.keys(), foldsNames });
  const left = Math.max(0, timeMs - (monotonicMs() - startedAt));
  const { end: how, ...compared } = await compare(job, { timeMs: left, ...(signal && { signal }) });
  const seen = new Set(Object.keys(compared.tables).map(tableName));
  const withoutRows = [...watch.keys()].filter((name) => !seen.has(name));
  return { ...common, ...compared, withoutRows, stoppedBy: how === 'reached' ? stoppedBy : how };
}

const nothing: Comparison = { tables: {}, differences: [], leftOut: [] };

/** The lower-case table of `schema.table`. */
export const tableName = (name: string): string => name.slice(name.indexOf('.') + 1).toLowerCase();

/** Every column that our decoder can read, for each watched table. */
function wholeTables({ rules, dictionary }: Pick<CompiledSource, 'rules' | 'dictionary'>): Watch {
  return new Map(
    [...rules.watch].map(([name, columns]) => {
      const known = dictionary.tables.get(name)?.columns ?? [];
      return [
        name,
        new Set([...columns, ...known.filter(isReadable).map((each) => each.name.toLowerCase())]),
      ];
    }),
  );
}

const isReadable = ({ charset }: DictionaryColumn): boolean =>
  charset === null || charset === 'binary' || textDecoder(charset) !== undefined;

export interface Counted {
  tables: number;
  rows: number;
  cells: number;
  leftOutRows: number;
  leftOutCells: number;
}

/** Sums over the tables. */
export function countCompared({ tables, leftOut }: Pick<Comparison, 'tables' | 'leftOut'>): Counted {
  const each = Object.values(tables);
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);
  return {
    tables: each.length,
    rows: sum(each.map(({ rows }) => rows)),
    cells: sum(each.map(({ cells }) => cells)),
    leftOutRows: sum(leftOut.map(({ column, count }) => (column === null ? count : 0))),
    leftOutCells: sum(leftOut.map(({ column, count }) => (column === null ? 0 : count))),
  };
}

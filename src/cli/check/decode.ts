import { InvalidArgumentError, Option, type Command } from 'commander';
import type { CheckResult } from '../../binlog/preflight/preflight.ts';
import { explainLeftOut, type Difference } from '../../binlog/second-reader/compare/comparison.ts';
import { openSource } from '../../binlog/source/source.ts';
import type { LogPlace } from '../../binlog/types.ts';
import type { Config } from '../../config/types.ts';
import { filterNames, readCompiledSource } from '../../capture/compiled-source.ts';
import { checkDecoder, countCompared, type DecodeCheck } from '../../capture/decode-check.ts';
import { systemClock } from '../../lib/clock.ts';
import { formatTable } from '../terminal/table.ts';
import { queryOption } from '../argument/query-option.ts';
import { momentValue } from '../../config/setting/query-value.ts';

/** Time limit for both readers together. */
const TIME_LIMIT_MS = 60_000;
const DEFAULT_SINCE_MS = 2 * 3_600_000;
const DEFAULT_ROWS = 10_000;
const MOST_ROWS = 100_000;

export interface DecodeOptions {
  decode?: true;
  since?: number;
  rows?: number;
}

/** `check --decode [--since 2h] [--rows 10000]` */
export function addDecodeOptions(command: Command): Command {
  return command
    .option('--decode', 'compare our decoder with zongji on the recent log, cell by cell')
    .addOption(
      queryOption(
        '--since <time>',
        'with --decode: from then on, 2h ago or a time (default: 2h)',
        momentValue,
      ),
    )
    .addOption(
      new Option('--rows <n>', `with --decode: at most so many rows (default: ${DEFAULT_ROWS})`).argParser(
        parseRows,
      ),
    );
}

function parseRows(text: string): number {
  const rows = Number(text);
  if (Number.isInteger(rows) && rows >= 1 && rows <= MOST_ROWS) return rows;
  throw new InvalidArgumentError(`expected a whole number from 1 to ${MOST_ROWS}`);
}

/** Compares the two readers on the source's binlog. Throws the errors of reading the binlog. */
export async function checkDecode(config: Config, { since, rows }: DecodeOptions): Promise<DecodeCheck> {
  const source = openSource(config.source.url);
  try {
    const clinic = await readCompiledSource(source, config, { filterNames: filterNames(config.webhooks) });
    return await checkDecoder({
      source,
      clinic,
      sinceMs: since ?? systemClock.now() - DEFAULT_SINCE_MS,
      rows: rows ?? DEFAULT_ROWS,
      timeMs: TIME_LIMIT_MS,
    });
  } finally {
    await source.close();
  }
}

/** The line for the report of `check`. */
export function decodeResult(check: DecodeCheck): CheckResult {
  const { differences } = check;
  const { rows, cells, tables } = countCompared(check);
  const title = 'Decoder, compared with zongji';
  const line = (level: CheckResult['level'], detail: string, remedy: string | null = null): CheckResult => ({
    id: 'decode',
    title,
    level,
    detail,
    remedy,
  });
  const range = `from ${placeText(check.from)} to ${placeText(check.until)}`;
  if (differences.length > 0)
    return line(
      'fail',
      `${differences.map(differenceText).join('; ')} (${range}).`,
      'Report it with the server version and the type of the column. A running daemon halts at a difference (decoder-difference).',
    );
  if (rows === 0)
    return line(
      'skip',
      `The log has no row of the watched tables that both read, ${range}. Try a longer --since.`,
    );
  const left = leftOutText(check);
  const detail = `${rows} rows and ${cells} cells of ${tables} tables read alike, ${range}.${left === '' ? '' : ` Left out: ${left}.`}`;
  return line(isWhole(check) ? 'pass' : 'warn', `${detail}${stopText(check)}`);
}

const isWhole = ({ stoppedBy, halts, leftOut }: DecodeCheck): boolean =>
  (stoppedBy === 'end' || stoppedBy === 'rows') &&
  halts.length === 0 &&
  leftOut.every(({ reason }) => reason !== 'unread');

const differenceText = ({ table, column, type, count }: Difference): string =>
  column === null
    ? `${table}: ${count} rows differ (${type})`
    : `${table}.${column} (${type}): ${count} values differ`;

function leftOutText(check: DecodeCheck): string {
  const { leftOutRows, leftOutCells } = countCompared(check);
  return [
    ...(leftOutRows > 0 ? [`${leftOutRows} rows`] : []),
    ...(leftOutCells > 0 ? [`${leftOutCells} cells`] : []),
  ].join(' and ');
}

function stopText({ stoppedBy, halts }: DecodeCheck): string {
  const texts: Record<DecodeCheck['stoppedBy'], string> = {
    end: '',
    rows: ' The limit of --rows ended it.',
    time: ' The time limit ended it.',
    halt: ' Our decoder cannot read the log behind the end.',
    refused: ' zongji lost its connection, or was not given one.',
    closed: ' zongji was stopped.',
    failed: ' zongji failed.',
  };
  const halted = halts.map(({ reason, table }) => `${reason}${table === null ? '' : ` (${table})`}`);
  const counted =
    halted.length === 0 ? '' : ` Not read: transactions that stop capture: ${halted.join(', ')}.`;
  return texts[stoppedBy] + counted;
}

/** Text for the terminal, below the checks: the compared rows and cells of each table, and what was left out and why. */
export function formatDecode(check: DecodeCheck): string {
  const tables = Object.entries(check.tables).map(([table, { rows, cells }]) => [
    table,
    `${rows}`,
    `${cells}`,
  ]);
  const left = check.leftOut.map(({ reason, table, column, type, count }) => [
    `${count} ${column === null ? 'rows' : 'cells'}`,
    table === null ? '' : column === null ? table : `${table}.${column} (${type ?? ''})`,
    explainLeftOut(reason),
  ]);
  return [
    ...(tables.length > 0 ? [formatTable(['compared with zongji', 'rows', 'cells'], tables)] : []),
    ...(left.length > 0 ? [formatTable(['left out', '', 'because'], left)] : []),
    ...(check.withoutRows.length > 0 ? [`No row in the log: ${check.withoutRows.join(', ')}`] : []),
  ].join('\n\n');
}

/** The member `decode` of `check --json`. */
export function decodeJson(check: DecodeCheck): Readonly<Record<string, unknown>> {
  const { tables, rows, cells, leftOutRows, leftOutCells } = countCompared(check);
  return {
    from: check.from,
    until: check.until,
    reaches_back: check.reachesBack,
    stopped_by: check.stoppedBy,
    compared: { tables, rows, cells },
    tables: Object.entries(check.tables).map(([table, counted]) => ({ table, ...counted })),
    without_rows: check.withoutRows,
    differences: check.differences,
    left_out: {
      rows: leftOutRows,
      cells: leftOutCells,
      parts: check.leftOut.map((each) => ({ ...each, because: explainLeftOut(each.reason) })),
    },
    unreadable: check.halts.map(({ reason, table, transactionId }) => ({
      reason,
      table,
      transaction: transactionId,
    })),
  };
}

const placeText = ({ file, offset }: LogPlace): string => `${file}:${offset}`;

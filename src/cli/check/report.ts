import type { CheckResult, PreflightReport } from '../../binlog/preflight/preflight.ts';
import { styled } from '../terminal/styled.ts';
import { formatTable } from '../terminal/table.ts';
import { splitAt, tableColumns, widthOf } from '../terminal/terminal.ts';
import { wrapProse, wrapText } from '../terminal/wrap.ts';

type Level = CheckResult['level'];

const colours = { pass: 'green', warn: 'yellow', fail: 'red', skip: 'dim' } as const;
/** Columns taken by the level and the gaps of the table. */
const AROUND_TITLE = 8;

/**
 * The report for the terminal: a table with a line for each check, and below it the findings that do not fit into the table, with the
 * remedies at the beginning of the line so that they can be copied. A passing check shows only the beginning of its finding. `only`
 * leaves out the checks of other levels.
 */
export function formatReport(report: PreflightReport, { only }: { only?: readonly Level[] } = {}): string {
  const checks = report.checks.filter(({ level }) => only === undefined || only.includes(level));
  const columns = tableColumns();
  const room = columns - AROUND_TITLE - Math.max(...checks.map(({ title }) => widthOf(title)));
  const fits = (text: string): boolean => !text.includes('\n') && widthOf(text) <= room;
  const inTable = ({ level, detail }: CheckResult): string =>
    [detail, ...(level === 'pass' ? [firstSentence(detail), shorten(detail, room)] : [])].find(fits) ?? '';
  const lines = checks.map((check) => [mark(check.level), check.title, inTable(check)]);
  const notes = checks.filter(
    (check) => check.remedy !== null || (check.level !== 'pass' && !fits(check.detail)),
  );
  const count = (level: Level): number => report.checks.filter((check) => check.level === level).length;
  const verdict = report.ok ? 'ready to be read' : 'not ready to be read';
  return [
    wrapText(report.server, columns) +
      `\n${verdict} (${count('fail')} fail, ${count('warn')} warn, ${count('skip')} skipped, ${count('pass')} pass)`,
    formatTable(['', 'check', 'finding'], lines),
    ...notes.toSorted((a, b) => severity.indexOf(a.level) - severity.indexOf(b.level)).map(formatNote),
  ].join('\n\n');
}

const shorten = (text: string, columns: number): string =>
  `${splitAt(text.replaceAll('\n', ' '), columns - 1)[0].trimEnd()}…`;

const firstSentence = (text: string): string => /^.*?\.(?= |$)/.exec(text)?.[0] ?? text;

/** Worst level first. */
const severity: readonly Level[] = ['fail', 'warn', 'skip', 'pass'];

const mark = (level: Level): string => styled(colours[level], level);

function formatNote({ level, title, detail, remedy }: CheckResult): string {
  const columns = tableColumns();
  return [
    `${mark(level)}  ${styled('bold', title)}`,
    wrapText(detail, columns, { breaksWords: true }),
    ...(remedy === null ? [] : [`${styled('bold', 'Remedy:')}\n${wrapProse(remedy, columns)}`]),
  ].join('\n');
}

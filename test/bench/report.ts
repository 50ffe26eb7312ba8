import Table from 'cli-table3';
import type { Finding } from './measure.ts';
import type { Spread } from './spread.ts';

/** Three significant digits. */
function format(value: number): string {
  if (value >= 1_000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}

const withSpread = ({ median, q1, q3 }: Spread): string =>
  q1 === q3 ? format(median) : `${format(median)} (${format(q1)}–${format(q3)})`;

const verdictOf = ({ reached }: Finding): string =>
  reached === undefined ? 'for orientation' : reached ? 'reached' : 'MISSED';

const wantedOf = ({ reach }: Finding): string =>
  reach ? `${reach.at === 'least' ? '≥' : '≤'} ${reach.value}` : '–';

export function renderLine(finding: Finding): string {
  const { measure, unit, against, ours, limit, ratio } = finding;
  return `${measure}: ${format(ours.median)} ${unit} against ${format(limit.median)} (${against}): ${withSpread(ratio)}, ${verdictOf(finding)}`;
}

/** Medians, with the quartiles in brackets. */
export function renderFindings(findings: readonly Finding[]): string {
  const table = new Table({
    head: ['measure', 'ours', 'held against', 'ratio', 'reach', 'verdict'],
    style: { head: [], border: [] },
  });
  for (const finding of findings) {
    const { measure, unit, against, ours, limit, ratio } = finding;
    table.push([
      `${measure}\n  ${unit}`,
      withSpread(ours),
      `${withSpread(limit)}\n  ${against}`,
      withSpread(ratio),
      wantedOf(finding),
      verdictOf(finding),
    ]);
  }
  const notes = findings.flatMap(({ measure, note }) => (note === undefined ? [] : [`${measure}: ${note}`]));
  return [table.toString(), ...notes].join('\n');
}

/** The findings as a Markdown table, for the README. */
export function renderMarkdown(findings: readonly Finding[]): string {
  const rows = findings.map((finding) => {
    const { measure, unit, against, ours, limit, ratio, reached } = finding;
    const cells = [
      `${measure} (${unit})`,
      format(ours.median),
      `${against}: ${format(limit.median)}`,
      withSpread(ratio),
      `${wantedOf(finding)}${reached === false ? ', **missed**' : ''}`,
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return [
    '| measure | ours | held against | ratio | reach |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

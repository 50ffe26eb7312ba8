import type { CheckResult } from '../../binlog/preflight/preflight.ts';
import { styled } from '../terminal/styled.ts';
import { tableColumns } from '../terminal/terminal.ts';
import { wrapProse } from '../terminal/wrap.ts';

/** Each with its remedy at the beginning of a line, in the words of `check`. */
export function formatFailingChecks(checks: readonly CheckResult[]): string {
  return checks
    .map(({ title, detail, remedy }) =>
      [
        `${styled('bold', title)}: ${detail}`,
        ...(remedy === null ? [] : [wrapProse(remedy, tableColumns())]),
      ].join('\n'),
    )
    .join('\n\n');
}

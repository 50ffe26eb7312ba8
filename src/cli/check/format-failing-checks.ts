import type { CheckResult } from '../../binlog/preflight/preflight.ts';
import { styled } from '../terminal/styled.ts';
import { tableColumns } from '../terminal/terminal.ts';
import { wrapProse } from '../terminal/wrap.ts';

/** Formats each check as `check` does, with its remedy at the beginning of a line. */
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

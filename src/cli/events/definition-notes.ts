import type { DryRunReport } from '../../capture/dry-run/dry-run-report.ts';

/** One note for all statements: a range with the application's migrations has dozens of them. */
export function definitionNotes(definitions: DryRunReport['definitions']): string[] {
  const last = definitions.at(-1);
  if (!last) return [];
  const tables = [...new Set(definitions.flatMap((each) => each.tables))].toSorted().join(', ');
  const rest = 'anew; rows before it are read by the tables as they are now';
  if (definitions.length === 1) return [`${last.at}: a statement defined ${tables} ${rest}`];
  return [`${definitions.length} statements, the last at ${last.at}, defined ${tables} ${rest}`];
}

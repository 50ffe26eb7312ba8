import { AppError } from '../../lib/errors.ts';
import { HaltError } from '../halt.ts';
import type { Baseline, ShownColumn } from '../types.ts';

/**
 * A transaction has columns that the rules name and that this reader was not opened for, because the live schema does not (or no
 * longer) contain them: another reader must continue from before the transaction.
 */
export class StaleSchemaError extends Error {
  /** The columns that the log shows in addition to the known ones. */
  readonly shown: Baseline;

  constructor(table: string, columns: Readonly<Record<string, ShownColumn>>) {
    super(`the log shows more of ${table} than the reader was opened for`);
    this.shown = { [table]: columns };
  }
}

/**
 * A file of the log lacks a domain that was read before it: the domain was retired, and may reuse the same numbers. Another reader must
 * prove this, and give later transactions different ids.
 */
export class RetiredDomainError extends Error {
  readonly file: string;

  constructor(file: string) {
    super(`the list of GTIDs of ${file} lacks a domain that was read before`);
    this.file = file;
  }
}

/** Whether another reader can read what this one could not. This includes a broken connection, which is not a fault of the log. */
export function isForNextReader(error: unknown): boolean {
  if (error instanceof StaleSchemaError || error instanceof RetiredDomainError) return true;
  return error instanceof AppError && !(error instanceof HaltError);
}

/** Merges two baselines. The first one's columns take precedence; a column without a type is completed from the second baseline. */
export function mergeBaselines(first: Baseline, second: Baseline): Baseline {
  const merged = { ...second };
  for (const [table, columns] of Object.entries(first)) {
    const others = second[table] ?? {};
    const known = Object.entries(columns).map(([name, column]) => [name, mergeColumn(column, others[name])]);
    merged[table] = { ...others, ...(Object.fromEntries(known) as typeof columns) };
  }
  return merged;
}

function mergeColumn(first: ShownColumn, second: ShownColumn | undefined): ShownColumn {
  return first.type === undefined && second?.kind === first.kind ? { ...second, ...first } : first;
}

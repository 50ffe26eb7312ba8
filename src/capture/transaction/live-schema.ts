import { hasReached } from '../../binlog/position/log-place.ts';
import { readLogStatus } from '../../binlog/source/log-file.ts';
import { mergeBaselines } from '../../binlog/transaction/stale-schema.ts';
import type { Source } from '../../binlog/source/source.ts';
import type { Baseline, LogPlace, ShownColumn } from '../../binlog/types.ts';
import { sleep } from '../../lib/clock.ts';
import { firstBaseline, isWithin, requireTables, type CompiledSource } from '../compiled-source.ts';

/** The live schema, and the end of the log after reading it: the schema is in force there, unless a definition comes before. */
export interface LiveSchema {
  clinic: CompiledSource;
  /** Undefined when the binary log is off. */
  end: LogPlace | undefined;
}

export async function locateSchema(source: Source, clinic: CompiledSource): Promise<LiveSchema> {
  return { clinic, end: await readLogStatus(source, clinic.identity) };
}

/** While ALTER TABLE replaces a table with its copy, MariaDB 11.8 shows neither for a moment. */
const LOOKS = 4;
const LOOK_AGAIN_MS = 250;

/** Reads the live schema; if something required is missing, reads it once more after a pause. Rethrows the last error of `require`. */
export async function readSettled(
  read: () => Promise<CompiledSource>,
  require: (clinic: CompiledSource) => void,
): Promise<CompiledSource> {
  for (let looks = 1; ; looks += 1) {
    const clinic = await read();
    try {
      require(clinic);
      return clinic;
    } catch (error) {
      if (looks === LOOKS) throw error;
      await sleep(LOOK_AGAIN_MS);
    }
  }
}

/**
 * What is known of the tables at a place at which the live schema is in force: of a table or a column without a row so far, what a row would show, so that
 * capture notices when it is dropped. Null when nothing is known, or nothing is new. Throws a CaptureFault when a table that the log has shown no longer
 * exists, although nothing in the log dropped it.
 */
export function learnSchema(
  { clinic, end }: LiveSchema,
  { place, baseline }: { place: LogPlace; baseline: Baseline },
): Baseline | null {
  if (!isInForce({ end }, place)) return null;
  requireTables(clinic, baseline);
  const learned = mergeBaselines(baseline, firstBaseline(clinic));
  return isWithin(columnsOf(learned), columnsOf(baseline)) ? null : learned;
}

export function isInForce({ end }: Pick<LiveSchema, 'end'>, place: LogPlace): boolean {
  return end !== undefined && hasReached(place, end);
}

/** Each column by name, and again with its type if known. */
function columnsOf(baseline: Baseline): Map<string, Set<string>> {
  const namesOf = ([name, { type }]: [string, ShownColumn]): string[] =>
    type === undefined ? [name] : [name, `${name} with type`];
  return new Map(
    Object.entries(baseline).map(([table, columns]) => [
      table,
      new Set(Object.entries(columns).flatMap(namesOf)),
    ]),
  );
}

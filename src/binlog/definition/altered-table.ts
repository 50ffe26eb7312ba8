import type { LoggedStatement } from '../statement/read-statement.ts';
import type { WatchedNames } from '../statement/watched-names.ts';
import { readAlteration, type Alteration } from './alter-actions.ts';
import type { ConversionMode } from './keeps-values.ts';

/** A watched table, and what an ALTER TABLE does to it. */
export interface AlteredTable {
  schema: string;
  /** The watched table, as the source spells it. */
  table: string;
  alteration: Alteration;
  mode: ConversionMode;
}

const STRICT_TRANS_TABLES = 1n << 21n;
const STRICT_ALL_TABLES = 1n << 22n;
const PAD_CHAR_TO_FULL_LENGTH = 1n << 31n;

/** Returns the watched tables that a logged statement alters; more than one if its name has several readings. */
export function findAltered(statement: LoggedStatement, watched: WatchedNames): AlteredTable[] {
  if (statement.effect !== 'definition') return [];
  const alteration = readAlteration(statement.parsed);
  if (!alteration) return [];
  const { object, schema } = alteration.table;
  const schemas = (schema ?? [statement.schema]).filter(watched.isSchema);
  const mode = modeOf(statement.variables.sqlMode);
  return schemas.flatMap((each) =>
    [...watched.tables.values()]
      .filter((table) => object?.some((name) => watched.isSame(each, { name, table })))
      .map((table) => ({ schema: each, table, alteration, mode })),
  );
}

/** An unknown SQL mode is treated as non-strict. */
function modeOf(sqlMode = 0n): ConversionMode {
  return {
    isStrict: (sqlMode & (STRICT_TRANS_TABLES | STRICT_ALL_TABLES)) !== 0n,
    padsChar: (sqlMode & PAD_CHAR_TO_FULL_LENGTH) !== 0n,
  };
}

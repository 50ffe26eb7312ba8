import type { SourceSchema } from '../binlog/types.ts';
import { createClinicZone } from '../change/clinic-zone.ts';
import { describeRules } from './describe.ts';
import { holdsPassword, watchColumns } from './lookout.ts';
import { createMap } from './map.ts';
import { namedColumns } from './named.ts';
import { resolveRules } from './resolve.ts';
import type { RuleFile } from './rule-file.ts';
import type { Rules } from './types.ts';

export interface CompileOptions {
  /** The tables as they are now. */
  schema: SourceSchema;
  /** The clinic's zone, for DATETIME columns. */
  timeZone: string;
  /** Names in webhooks' filters: where one is a column of a table that has a rule, it is read as well. */
  filterNames?: Iterable<string>;
}

/**
 * Compiles a rules file against the live schema: names are found, values judged, and every rule becomes plain functions.
 * Throws ERR_RULES with all mistakes, each with its line and the nearest right word; ERR_CONFIG for a zone that does not exist.
 */
export function compileRules(file: RuleFile, { schema, timeZone, filterNames = [] }: CompileOptions): Rules {
  const zone = createClinicZone(timeZone);
  const { rules, watch, warnings } = resolveRules(file, schema);
  const wanted = new Set([...filterNames].map((name) => name.toLowerCase()));
  for (const { table } of rules) {
    const readable = table.columns.filter((column) => !holdsPassword(column));
    const columns = readable.map(({ name }) => name.toLowerCase());
    watchColumns(
      watch,
      table,
      columns.filter((column) => wanted.has(column)),
    );
  }
  return {
    watch,
    named: namedColumns(file, wanted),
    warnings,
    types: describeRules(file),
    map: createMap(rules, zone),
  };
}

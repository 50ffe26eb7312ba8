import type { SourceSchema } from '../../binlog/types.ts';
import { createClinicZone } from '../../change/clinic-zone.ts';
import { problemsError, type Problem } from '../../config/problems.ts';
import { describeRules } from '../rule/describe.ts';
import { holdsPassword, watchColumns } from '../rule/name-scope.ts';
import { fieldShapes } from './field-shape.ts';
import { createMap } from './map.ts';
import { referencedColumns } from '../rule/referenced-columns.ts';
import { draftResolution } from '../rule/resolve.ts';
import { SiblingRows, siblingsOf } from './siblings.ts';
import type { RuleFile } from '../rule/rule-file.ts';
import type { Rules } from '../types.ts';

export interface CompileOptions {
  /** The tables as they are now. */
  schema: SourceSchema;
  /** The clinic's zone, for DATETIME columns. */
  timeZone: string;
  /** Names in webhooks' filters: where one is a column of a table that has a rule, it is read as well. */
  filterNames?: Iterable<string>;
}

/**
 * Compiles a rules file against the live schema: names are found, values checked, and every rule becomes plain functions.
 * Throws ERR_RULES with all mistakes, each with its line and the nearest right word; ERR_CONFIG for a zone that does not exist.
 * @internal
 */
export function compileRules(file: RuleFile, options: CompileOptions): Rules {
  const { rules, mistakes } = draftRules(file, options);
  if (mistakes.length > 0) throw problemsError('ERR_RULES', mistakes);
  return rules;
}

/** Rules as far as they fit the schema, with the mistakes of the others. With a mistake they may check webhooks, and map nothing. */
export function draftRules(
  file: RuleFile,
  { schema, timeZone, filterNames = [] }: CompileOptions,
): { rules: Rules; mistakes: readonly Problem[] } {
  const zone = createClinicZone(timeZone);
  const { rules, watch, warnings, mistakes } = draftResolution(file, schema);
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
    mistakes,
    rules: {
      watch,
      named: referencedColumns(file, wanted),
      warnings,
      types: describeRules(file).map((each) => ({
        ...each,
        shapes: fieldShapes(rules.filter(({ type }) => type === each.type)),
      })),
      map: createMap(rules, zone),
      gatherSiblings: ({ reread }) => new SiblingRows(siblingsOf(rules), reread),
    },
  };
}

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
  /** Names in webhooks' filters: if a name is a column of a table that has a rule, that column is read as well. */
  filterNames?: Iterable<string>;
}

/**
 * Compiles a rules file against the live schema: resolves names, checks values and turns every rule into functions.
 * Throws ERR_RULES with all mistakes, each with its line and the nearest known word; ERR_CONFIG if the zone does not exist.
 * @internal
 */
export function compileRules(file: RuleFile, options: CompileOptions): Rules {
  const { rules, mistakes } = draftRules(file, options);
  if (mistakes.length > 0) throw problemsError('ERR_RULES', mistakes);
  return rules;
}

/**
 * Returns the rules that fit the schema, and the mistakes of the others. If there is a mistake, use the rules only to check webhooks,
 * not to map.
 */
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

import type { SourceColumn, SourceSchema } from '../../binlog/types.ts';
import {
  createProblems,
  formatProblem,
  problemsError,
  type Problem,
  type YamlPath,
} from '../../config/problems.ts';
import { findAlwaysNull } from './always-null.ts';
import {
  findColumn,
  findTable,
  peekColumn,
  watchColumns,
  type NameScope,
  type Report,
} from './name-scope.ts';
import { resolveChecks } from './resolve-checks.ts';
import { resolveSource } from './resolve-source.ts';
import type { Rule, Source } from './rule.ts';
import type { RuleFile } from './rule-file.ts';
import type { RuleSpec } from './rule-spec.ts';

/** A rules file resolved against a schema. */
export interface Resolution {
  /** In the order of the file, without the rules whose table does not exist. */
  rules: readonly Rule[];
  /** Columns that must be read, by table, all in lower case. */
  watch: Map<string, Set<string>>;
  warnings: readonly string[];
}

/** Resolves every name of a rules file in the schema. Throws ERR_RULES with all mistakes, each with its line and the nearest known word. */
export function resolveRules(file: RuleFile, schema: SourceSchema): Resolution {
  const { mistakes, ...resolution } = draftResolution(file, schema);
  if (mistakes.length > 0) throw problemsError('ERR_RULES', mistakes);
  return resolution;
}

/** Like `resolveRules`, but returns the mistakes together with the resolved rules: a missing column counts as NULL. */
export function draftResolution(
  file: RuleFile,
  schema: SourceSchema,
): Resolution & { mistakes: readonly Problem[] } {
  const problems = createProblems({ at: file.at, problems: [] });
  // An alias repeats a part of the file with its warnings; so do alternative rules with the same field.
  const warnings: string[] = [];
  const reported = new Set<string>();
  const watch = new Map<string, Set<string>>();
  const isStrict = file.missing === 'error';
  const warn = (path: YamlPath, message: string): void => {
    const warning = { path, position: file.at(path), message };
    const place = `${warning.position.line}:${warning.position.column} ${message}`;
    const field = `${path.filter((step) => typeof step !== 'number').join('.')} ${message}`;
    if (!reported.has(place) && !reported.has(field)) warnings.push(formatProblem(warning));
    reported.add(place).add(field);
  };
  const report: Report = {
    isStrict,
    wrong: problems.add,
    lacking(path, { message, suggestion, consequence }) {
      if (isStrict) problems.add(path, message + suggestion);
      else warn(path, `${message}: ${consequence}`);
    },
  };
  const rules = file.events.flatMap(({ type, rules: alternatives }) =>
    alternatives.flatMap((given) => {
      const rule = resolveRule({ type, ...given }, { schema, watch, report });
      for (const { path, why } of rule ? findAlwaysNull(rule) : [])
        warn([...given.path, ...path], `it is always null: ${why}`);
      return rule ?? [];
    }),
  );
  return { rules, watch, warnings, mistakes: problems.list() };
}

/** The field of the payload that names the patient if the rule has no `subject`. */
const subjectField = 'patient_id';

interface GivenRule {
  type: string;
  path: YamlPath;
  spec: RuleSpec;
}

function resolveRule(
  { type, path, spec }: GivenRule,
  surroundings: Pick<NameScope, 'schema' | 'watch' | 'report'>,
): Rule | undefined {
  const table = findTable(surroundings, {
    name: spec.table,
    path: [...path, 'table'],
    consequence: `${type} is off`,
  });
  if (!table) return undefined;
  if (table.isView) {
    const message = `"${table.name}" is a view, whose changes are not in the log; name the table beneath it (views can be looked up)`;
    surroundings.report.wrong([...path, 'table'], message);
  }
  const changed: SourceColumn[] = [];
  const own: NameScope = { ...surroundings, table, changed, named: new Map() };
  const borrowed = resolveBorrowed({ type, path, spec }, own);
  const columns = [...table.columns, ...borrowed.map(({ column }) => column)];
  const scope: NameScope = { ...own, table: { ...table, columns } };
  const rule: Rule = {
    type,
    table,
    borrowed,
    ops: new Set([spec.on ?? (['insert', 'update'] as const)].flat()),
    conditions: resolveConditions({ type, path, spec }, scope),
    columns: resolveColumns({ type, path, spec }, scope),
    key: resolveKey({ type, path, spec }, scope),
    subject: spec.subject ? resolveSource({ spec: spec.subject, path: [...path, 'subject'] }, scope) : null,
    data: Object.entries(spec.data).map(([name, source]) => ({
      name,
      source: resolveSource({ spec: source, path: [...path, 'data', name] }, scope),
    })),
  };
  rule.subject ??= rule.data.find(({ name }) => name === subjectField)?.source ?? null;
  for (const { column } of borrowed) scope.named.delete(column.name.toLowerCase());
  // If a rule has no `columns`, $changed reports all columns that the rule names.
  changed.push(...(rule.columns ?? scope.named.values()));
  watchColumns(scope.watch, table, [...scope.named.keys(), ...table.key]);
  return rule;
}

function resolveBorrowed({ path, spec }: GivenRule, scope: NameScope): Rule['borrowed'] {
  return Object.entries(spec.with ?? {}).map(([name, given]) => {
    const at = [...path, 'with', name];
    const source = resolveSource({ spec: given, path: at }, scope);
    const found = source.kind === 'find' ? columnFound(source) : undefined;
    if (peekColumn(scope.table, name)) {
      scope.report.wrong(at, `table "${scope.table.name}" has a column of this name`);
    } else if (!found && source.kind !== 'nothing') {
      scope.report.wrong(at, 'expected a look-up of one column');
    }
    return { source, column: { kind: 'text', labels: null, ...found, name, nullable: true } };
  });
}

/** The column at the end of a chain of look-ups; undefined if the chain does not end with one whole column. */
function columnFound(source: Source): SourceColumn | undefined {
  if (source.kind === 'find') return source.find.many ? undefined : columnFound(source.find.select);
  return source.kind === 'column' && source.path.length === 0 ? source.column : undefined;
}

function resolveConditions({ type, path, spec }: GivenRule, scope: NameScope): Rule['conditions'] {
  return Object.entries(spec.when ?? {}).map(([name, given]) => {
    const at = [...path, 'when', name];
    const consequence = `it counts as NULL, so ${type} may never fire`;
    const column = findColumn(scope, { name, path: at, consequence });
    return {
      column: column?.name.toLowerCase() ?? null,
      checks: resolveChecks({ given, column, path: at }, scope),
    };
  });
}

function resolveColumns({ path, spec }: GivenRule, scope: NameScope): Rule['columns'] {
  if (!spec.columns) return null;
  return spec.columns.flatMap((name, index) => {
    const mention = { name, path: [...path, 'columns', index], consequence: 'its changes are not reported' };
    return findColumn(scope, mention) ?? [];
  });
}

function resolveKey({ path, spec }: GivenRule, scope: NameScope): string | null {
  if (spec.key === undefined) return null;
  const mention = { name: spec.key, path: [...path, 'key'], consequence: 'the primary key is used' };
  return findColumn(scope, mention)?.name.toLowerCase() ?? null;
}

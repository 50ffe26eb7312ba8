import type { RuleFile } from './rule-file.ts';
import type { ConditionSpec, RuleSpec, ThresholdSpec, ValuesSpec } from './rule-spec.ts';
import type { EventTypeInfo } from '../types.ts';

/** Describes the catalogue: every event type with its tables, its rule and its payload fields, in the order of the file. */
export function describeRules({ events }: Pick<RuleFile, 'events'>): EventTypeInfo[] {
  return events.map(({ type, rules }) => {
    const specs = rules.map(({ spec }) => spec);
    return {
      type,
      table: [...new Set(specs.map(({ table }) => table))].join(', '),
      rule: specs.map(describeRule).join('; or '),
      fields: [...new Set(specs.flatMap(({ data }) => Object.keys(data)))],
    };
  });
}

/** `insert or update of citas where estado becomes confirmada` */
function describeRule({ table, on, when, columns }: RuleSpec): string {
  const operations = [on ?? (['insert', 'update'] as const)].flat().join(' or ');
  const conditions = Object.entries(when ?? {}).flatMap(([column, given]) =>
    describeConditions(column, given),
  );
  if (columns) conditions.push(`one of ${columns.join(', ')} changes`);
  return `${operations} of ${table}${conditions.length > 0 ? ` where ${conditions.join(' and ')}` : ''}`;
}

function describeConditions(column: string, given: ConditionSpec): string[] {
  const words: string[] = [];
  for (const verb of ['becomes', 'leaves', 'is', 'was'] as const) {
    if (given[verb] !== undefined) words.push(`${column} ${verb} ${describeValues(given[verb])}`);
  }
  if (given.changes !== undefined) words.push(`${column} ${given.changes ? 'changes' : 'does not change'}`);
  if (given.falls_to !== undefined)
    words.push(`${column} falls to ${describeOperand(given.falls_to)} or below`);
  if (given.rises_to !== undefined)
    words.push(`${column} rises to ${describeOperand(given.rises_to)} or above`);
  return words;
}

function describeValues(values: ValuesSpec): string {
  if (typeof values === 'object' && values !== null && 'not' in values) {
    return `anything but ${[values.not].flat().map(String).join(', ')}`;
  }
  const listed = (Array.isArray(values) ? values : [values]) as readonly (ThresholdSpec | boolean | null)[];
  return listed.map(describeOperand).join(' or ');
}

function describeOperand(operand: ThresholdSpec | boolean | null): string {
  return typeof operand === 'object' && operand !== null ? operand.column : String(operand);
}

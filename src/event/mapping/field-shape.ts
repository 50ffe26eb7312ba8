import type { SourceColumn } from '../../binlog/types.ts';
import type { Rule, Source } from '../rule/rule.ts';

/** The kinds of values that a field of an event can have, as far as they can be used to check a filter. */
export type FieldShape =
  | {
      kind:
        | 'integer'
        | 'flag'
        | 'number'
        | 'text'
        | 'date'
        | 'time'
        | 'timeOfDay'
        | 'list'
        | 'object'
        | 'unknown';
    }
  /** One of these texts. */
  | { kind: 'labels'; labels: readonly string[] };

const unknown: FieldShape = { kind: 'unknown' };

/**
 * The shapes that the rules of an event type give each field, and each lower-case column of the changed row. A field hides a column of
 * its name.
 */
export function fieldShapes(rules: readonly Rule[]): ReadonlyMap<string, readonly FieldShape[]> {
  const all = new Map<string, readonly FieldShape[]>();
  for (const { table, data } of rules) {
    const own = new Map<string, readonly FieldShape[]>([
      ...table.columns.map((column) => [column.name.toLowerCase(), [columnShape(column)]] as const),
      ...data.map(({ name, source }) => [name, sourceShapes(source)] as const),
    ]);
    for (const [name, shapes] of own) all.set(name, [...(all.get(name) ?? []), ...shapes]);
  }
  return all;
}

function sourceShapes(source: Source): readonly FieldShape[] {
  switch (source.kind) {
    case 'nothing':
      return [];
    case 'commit-time':
      return [{ kind: 'time' }];
    case 'column':
      return [source.path.length > 0 ? unknown : columnShape(source.column)];
    case 'minus':
      return [columnShape(source.column)];
    case 'part':
      return [{ kind: source.part === 'date' ? 'date' : 'timeOfDay' }];
    case 'first':
      return source.sources.flatMap(sourceShapes);
    case 'translate':
      return translatedShapes(sourceShapes(source.source), [...source.words.values()]);
    case 'find':
      return source.find.many ? [{ kind: 'list' }] : sourceShapes(source.find.select);
    case 'sibling':
      return sourceShapes(source.sibling.select);
    case 'changed':
    case 'fields':
      return [{ kind: 'object' }];
    case 'literal':
      return [typeof source.value === 'string' ? { kind: 'labels', labels: [source.value] } : unknown];
  }
}

/** A value without a translation is sent unchanged. */
function translatedShapes(shapes: readonly FieldShape[], words: readonly unknown[]): readonly FieldShape[] {
  const texts = words.filter((word) => typeof word === 'string');
  return texts.length === words.length ? [...shapes, { kind: 'labels', labels: texts }] : [unknown];
}

function columnShape({ kind, labels, mayBeFlag }: SourceColumn): FieldShape {
  switch (kind) {
    case 'integer':
    case 'bit':
    case 'year':
      return { kind: mayBeFlag ? 'flag' : 'integer' };
    case 'decimal':
    case 'float':
      return { kind: 'number' };
    case 'date':
      return { kind: 'date' };
    case 'datetime':
    case 'timestamp':
      return { kind: 'time' };
    case 'time':
      return { kind: 'timeOfDay' };
    case 'enum':
      // The server stores the empty text for a label that does not exist.
      return labels ? { kind: 'labels', labels: [...labels, ''] } : { kind: 'text' };
    case 'json':
      return unknown;
    case 'text':
    case 'set':
    case 'uuid':
    case 'inet':
    case 'binary':
    case 'geometry':
      return { kind: 'text' };
  }
}

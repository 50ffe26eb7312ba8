import type { SourceColumn, SourceSchema } from '../../binlog/types.ts';
import { resolveRules } from './resolve.ts';
import type { Field, Rule, Source } from './rule.ts';
import type { RuleFile } from './rule-file.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

/** The values that a source can give. */
interface Shape {
  schema: JsonSchema;
  isNullable: boolean;
}

const instant = '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3,6}';
export const utcTime: JsonSchema = { type: 'string', pattern: `${instant}Z$` };
const localTime: JsonSchema = { type: 'string', pattern: `${instant}[+-]\\d\\d:\\d\\d$` };
const date: JsonSchema = { type: 'string', pattern: '^\\d{4}-\\d\\d-\\d\\d$' };
const timeOfDay: JsonSchema = { type: 'string', pattern: '^-?\\d{2,3}:\\d\\d:\\d\\d(\\.\\d{1,6})?$' };

/**
 * The JSON schema (draft 7) of each event's body, by event type, for the live database. Events whose tables do not exist are
 * left out. Bodies of webhooks with `fields` have fewer fields than the schema requires. Throws ERR_RULES as compileRules does.
 */
export function eventSchemas(file: RuleFile, schema: SourceSchema): ReadonlyMap<string, JsonSchema> {
  const byType = Map.groupBy(resolveRules(file, schema).rules, ({ type }) => type);
  return new Map([...byType].map(([type, rules]) => [type, rulesSchema(type, rules)]));
}

function rulesSchema(type: string, rules: readonly Rule[]): JsonSchema {
  const data = rules.map((rule) => objectOf(rule.data));
  const distinct = [...new Map(data.map((each) => [JSON.stringify(each), each])).values()];
  return bodySchema(type, distinct.length === 1 ? distinct[0]! : { anyOf: distinct });
}

/** The schema of a body with this data. */
export function bodySchema(type: string, data: JsonSchema): JsonSchema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: type,
    ...closedObject({
      event: { const: type },
      timestamp: utcTime,
      data,
    }),
  };
}

/** An object with exactly these properties, all of them required. */
export function closedObject(properties: Readonly<Record<string, JsonSchema>>): JsonSchema {
  return { type: 'object', properties, required: Object.keys(properties), additionalProperties: false };
}

function objectOf(fields: readonly Field[]): JsonSchema {
  return closedObject(
    Object.fromEntries(fields.map(({ name, source }) => [name, toSchema(shapeOf(source))])),
  );
}

/** A schema without keywords accepts any value, including null. */
function toSchema({ schema, isNullable }: Shape): JsonSchema {
  return isNullable && Object.keys(schema).length > 0 ? { anyOf: [schema, { type: 'null' }] } : schema;
}

function shapeOf(source: Source): Shape {
  switch (source.kind) {
    case 'nothing':
      return { schema: { type: 'null' }, isNullable: false };
    case 'literal':
      return { schema: { const: source.value }, isNullable: false };
    case 'commit-time':
      return { schema: utcTime, isNullable: false };
    case 'column':
      if (source.path.length > 0) return { schema: {}, isNullable: true };
      return { schema: columnSchema(source.column), isNullable: source.old || canBeNull(source.column) };
    case 'changed':
      return { schema: changedSchema(source.columns), isNullable: false };
    case 'part':
      return { schema: source.part === 'date' ? date : timeOfDay, isNullable: canBeNull(source.column) };
    case 'minus':
      return { schema: columnSchema(source.column), isNullable: canBeNull(source.column) };
    case 'translate':
      return translatedShape(shapeOf(source.source), [...source.words.values()]);
    case 'first':
      return firstShape(source.sources.map(shapeOf));
    case 'fields':
      return { schema: objectOf(source.fields), isNullable: false };
    case 'find': {
      const { many, select } = source.find;
      const found = shapeOf(select);
      if (many) return { schema: { type: 'array', items: toSchema(found) }, isNullable: false };
      return { schema: found.schema, isNullable: true };
    }
    case 'sibling':
      return { schema: shapeOf(source.sibling.select).schema, isNullable: true };
  }
}

/** Dates that do not exist are sent as null even if the column is NOT NULL. */
const canBeNull = ({ kind, nullable }: SourceColumn): boolean =>
  nullable || kind === 'date' || kind === 'datetime' || kind === 'timestamp' || kind === 'json';

function translatedShape(source: Shape, words: readonly unknown[]): Shape {
  return { schema: { anyOf: [{ enum: words }, source.schema] }, isNullable: source.isNullable };
}

function firstShape(shapes: readonly Shape[]): Shape {
  return {
    schema: { anyOf: shapes.map(({ schema }) => schema) },
    isNullable: shapes.every(({ isNullable }) => isNullable),
  };
}

function changedSchema(columns: readonly SourceColumn[]): JsonSchema {
  const properties = columns.map((column) => {
    const value = toSchema({ schema: columnSchema(column), isNullable: true });
    return [column.name, closedObject({ old: value, new: value })] as const;
  });
  return { type: 'object', properties: Object.fromEntries(properties), additionalProperties: false };
}

function columnSchema({ kind, labels }: SourceColumn): JsonSchema {
  switch (kind) {
    case 'integer':
    case 'bit':
      // Beyond 2^53 the integer is sent as text.
      return { type: ['integer', 'string'], pattern: '^-?\\d+$' };
    case 'year':
      return { type: 'integer' };
    case 'decimal':
    case 'float':
      return { type: 'number' };
    case 'date':
      return date;
    case 'time':
      return timeOfDay;
    case 'timestamp':
      return utcTime;
    case 'datetime':
      return localTime;
    case 'enum':
      // The server stores the empty text for a label that does not exist.
      return labels ? { enum: [...new Set([...labels, ''])] } : { type: 'string' };
    case 'json':
      return {};
    case 'text':
    case 'set':
    case 'uuid':
    case 'inet':
      return { type: 'string' };
    case 'binary':
    case 'geometry':
      return { type: 'string', contentEncoding: 'base64' };
  }
}

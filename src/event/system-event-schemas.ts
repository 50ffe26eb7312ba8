import { systemEvents } from './system-events.ts';
import { bodySchema, closedObject, utcTime, type JsonSchema } from './rule/payload-schema.ts';

const text: JsonSchema = { type: 'string' };
const integer: JsonSchema = { type: 'integer' };
const texts: JsonSchema = { type: 'array', items: text };
const orNull = (schema: JsonSchema): JsonSchema => ({ anyOf: [schema, { type: 'null' }] });
const counts: JsonSchema = { type: 'object', additionalProperties: integer };
const place = closedObject({ file: text, offset: integer });
const position: JsonSchema = {
  type: 'object',
  properties: { gtid: orNull(text), file: text, offset: integer, fileCreatedAt: integer },
  required: ['gtid', 'file', 'offset'],
  additionalProperties: false,
};

/** Schemas of fields by name; a field without an entry is text. */
const fieldSchemas: Readonly<Record<string, Readonly<Record<string, JsonSchema>>>> = {
  'webhook.disabled': { webhook_id: integer, timestamp: utcTime },
  'webhook.failing': { webhook_id: integer, failing_since: utcTime, timestamp: utcTime },
  'delivery.exhausted': {
    ...{ delivery_id: integer, webhook_id: integer, attempts: integer, timestamp: utcTime },
    ...{ response_status: orNull(integer), reason: orNull(text) },
  },
  'capture.halted': {
    ...{ table: orNull(text), transaction: orNull(text), missing: orNull(text), timestamp: utcTime },
  },
  'capture.resumed': { halted_at: utcTime, accepted: { type: 'boolean' }, timestamp: utcTime },
  'audit.stopped': {
    ...{ last_seal: integer, why: { enum: ['broken', 'behind'] }, message: orNull(text) },
    ...{ unsealed_age_s: integer, timestamp: utcTime },
  },
  'capture.gap': {
    given_up: { enum: ['interval', 'transaction', 'table'] },
    table: orNull(text),
    gone_tables: texts,
    transaction: orNull(text),
    transactions: orNull(integer),
    reasons: orNull(counts),
    missing: orNull(text),
    since: orNull(utcTime),
    until: orNull(utcTime),
    from: position,
    to: position,
  },
  'capture.unlogged_cascade': {
    operation: { enum: ['delete', 'update'] },
    children: texts,
    position: place,
    timestamp: utcTime,
  },
  'audit.sealed': { number: integer, entries: integer, version: integer, timestamp: utcTime },
};

/** The JSON schema (draft 7) of the body of each system event, by event type. */
export function systemEventSchemas(): ReadonlyMap<string, JsonSchema> {
  return new Map(
    systemEvents.map(({ type, fields }) => {
      const data = fields.map((name) => [name, fieldSchemas[type]?.[name] ?? text] as const);
      return [type, bodySchema(type, closedObject(Object.fromEntries(data)))];
    }),
  );
}

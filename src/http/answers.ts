import {
  deliveryStatuses,
  type AccessRecord,
  type AttemptRecord,
  type DeliveryDetail,
  type DeliveryRecord,
} from '../audit/deliveries.ts';
import { settingAnswers } from '../config/setting/webhook-settings.ts';
import type { ActRecord } from '../audit/act/acts.ts';
import type { EventTypeInfo } from '../event/types.ts';
import type { Replay } from '../outbox/replay/replay.ts';
import type { WebhookSummary } from '../outbox/webhook/webhook-summary.ts';
import type { webhookJson } from '../outbox/webhook/webhook-json.ts';
import { object, type Schema } from './route.ts';

/*
 * The schemas of answers for the OpenAPI document. The field names come from the types of the answers: a field that is added to a type
 * but not here does not compile. Tests compare the rest with real answers.
 */

/** A record's name as `toJson` writes it: `occurredAtMs` → `occurred_at`. */
type JsonName<Name extends string> = Name extends 'atMs'
  ? 'at'
  : Name extends `${infer Start}AtMs`
    ? Underscored<`${Start}At`>
    : Underscored<Name>;
type Underscored<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${Underscored<Rest>}`
  : Name;

type Properties<Answered> = Readonly<Record<JsonName<Extract<keyof Answered, string>>, Schema>>;

/** All fields of a type, in JSON; the fields in `optional` may be absent. */
function answerOf<Answered>(properties: Properties<Answered>, optional: readonly string[] = []): Schema {
  return object(
    properties,
    Object.keys(properties).filter((name) => !optional.includes(name)),
  );
}

const string: Schema = { type: 'string' };
const integer: Schema = { type: 'integer' };
const boolean: Schema = { type: 'boolean' };
const strings: Schema = { type: 'array', items: string };
const moment: Schema = { type: 'string', pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' };
const anything: Schema = {};

function orNull(schema: Schema): Schema {
  return { anyOf: [schema, { type: 'null' }] };
}

function listOf(schema: Schema): Schema {
  return { type: 'array', items: schema };
}

/** An object with one or more named values: `{ delivery: … }`, `{ webhooks: […] }`. */
export function answering(properties: Readonly<Record<string, Schema>>): Schema {
  return object(properties, Object.keys(properties));
}

/** A page of a list. */
export function pageOf(name: string, schema: Schema): Schema {
  return answering({ [name]: listOf(schema), next_cursor: orNull(integer) });
}

export const done = answering({ success: boolean });

const entity = answering({ table: string, key: string });

const standing: Schema = { enum: ['active', 'paused', 'inactive', 'disabled', 'unfit'] };

const { is_active, ...otherSettings } = settingAnswers;

export const webhookAnswer = answerOf<ReturnType<typeof webhookJson>>({
  id: integer,
  name: string,
  url: string,
  events: strings,
  is_active,
  standing: { ...standing, description: 'Whether it is sent to, and why not.' },
  managed_by: { enum: ['database', 'file'] },
  ...otherSettings,
  created_at: moment,
  updated_at: moment,
  rotation_ends_at: orNull(moment),
  failing_since: orNull(moment),
  paused_at: orNull(moment),
  disabled_at: orNull(moment),
  disabled_reason: { enum: ['gone', 'failing', null] },
  problems: { ...strings, description: 'Why it is not, or not fully, sent to.' },
});

const receiver = answering({ name: string, url: string });

const explanation = {
  ...orNull(string),
  description: 'Why the (last) attempt failed, in words; null for a success.',
};

const deliveryFields: Properties<DeliveryRecord> = {
  id: integer,
  webhook_id: integer,
  webhook_name: orNull(string),
  webhook_url: orNull(string),
  event_id: string,
  event_type: string,
  entity,
  patient: orNull(string),
  status: { enum: deliveryStatuses },
  response_status: orNull(integer),
  explanation,
  retry_count: integer,
  occurred_at: moment,
  created_at: moment,
  delivered_at: orNull(moment),
  failed_at: orNull(moment),
  next_attempt_at: orNull(moment),
};

export const deliveryAnswer = answerOf<DeliveryRecord>(deliveryFields);

export const accessAnswer = answerOf<AccessRecord>({
  ...deliveryFields,
  fields: { ...orNull(strings), description: 'What was sent; null once the payload is gone.' },
  receivers: { ...listOf(receiver), description: 'All that it was sent to.' },
});

const attempt = answerOf<AttemptRecord>({
  number: integer,
  started_at: moment,
  duration_ms: integer,
  outcome: { enum: ['delivered', 'rejected', 'gone', 'failed', 'forbidden', 'lost'] },
  response_status: orNull(integer),
  reason: orNull(string),
  explanation,
  receiver: { ...orNull(receiver), description: 'Name and URL that it was sent to.' },
});

export const deliveryDetailAnswer = answerOf<DeliveryDetail>({
  ...deliveryFields,
  transaction_id: string,
  payload: { ...orNull(string), description: 'The bytes that are sent; null once pruned or erased.' },
  response_body: orNull(string),
  attempts: listOf(attempt),
});

export const actAnswer = answerOf<ActRecord>({
  id: integer,
  at: moment,
  actor: string,
  role: string,
  action: string,
  target: orNull(string),
  details: { ...anything, description: 'What belongs to the action; null for nothing.' },
});

export const replayAnswer = answerOf<Replay>(
  {
    id: integer,
    webhook_id: integer,
    events: strings,
    entity,
    since_ms: integer,
    until_ms: integer,
    exhausted_only: boolean,
    missed_only: { ...boolean, description: 'Only what was never queued for it.' },
    requested_by: string,
    reason: string,
    rate_per_second: orNull({ type: 'number' }),
    state: { enum: ['running', 'done', 'cancelled'] },
    total: integer,
    queued: integer,
    created_at: moment,
    finished_at: orNull(moment),
  },
  ['events', 'entity'],
);

const eventType = answerOf<EventTypeInfo>({ type: string, table: string, rule: string, fields: strings });

export const eventTypesAnswer = answering({ events: listOf(eventType), own: listOf(eventType) });

const position = object({ gtid: orNull(string), file: string, offset: integer, fileCreatedAt: integer }, [
  'gtid',
  'file',
  'offset',
]);

export const statusAnswer = answering({
  daemon: answering({ running: integer, capturing: boolean }),
  capture: answering({
    position: orNull(position),
    committed_at: orNull(moment),
    lag_ms: orNull({ type: 'number' }),
    halt: orNull({
      type: 'object',
      properties: { reason: string, message: string, remedy: string, at: moment },
      required: ['reason', 'message', 'remedy', 'at'],
    }),
    unlogged_cascades: listOf(answering({ table: string, count: integer, last_at: moment })),
    role: { enum: ['standby', 'connecting', 'capturing', 'halted'] },
    last_error: orNull(string),
    failures: integer,
    silent_ms: orNull({ type: 'number' }),
    readers: integer,
    blocked_by: orNull(string),
  }),
  source: {
    anyOf: [
      answering({ until_purge_ms: orNull({ type: 'number' }), behind_bytes: integer, log_bytes: integer }),
      answering({ error: string, remedy: string }),
    ],
  },
  webhooks: listOf(
    answering({
      id: integer,
      name: string,
      active: boolean,
      standing,
      problems: strings,
      disabled_reason: orNull(string),
      failing_since: orNull(moment),
      queued: integer,
      sending: integer,
      last_error: orNull(string),
    }),
  ),
  failing_checks: listOf(
    answering({
      id: { ...string, description: 'Stays the same between versions.' },
      title: string,
      level: { const: 'fail' },
      detail: string,
      remedy: orNull(string),
    }),
  ),
  dispatch: answering({
    in_flight: integer,
    queued: integer,
    unsettled: integer,
    webhooks: listOf(
      answering({
        webhook_id: integer,
        in_flight: integer,
        queued: integer,
        breaker: { enum: ['closed', 'open', 'probing'] },
      }),
    ),
  }),
});

export const standingAnswer = answerOf<WebhookSummary & { success: boolean; message: string }>({
  success: boolean,
  id: integer,
  name: string,
  standing,
  waiting: { ...integer, description: 'Deliveries that are not at their end.' },
  missed: {
    ...integer,
    description: 'Events, at most, that were not queued for it; enable with `missed` sends them.',
  },
  message: { ...string, description: 'How many deliveries wait, and what becomes of new events.' },
});

export const meAnswer = answering({ name: string, role: { enum: ['admin', 'operator', 'auditor'] } });

export const webhookMadeAnswer = object(
  {
    success: boolean,
    id: integer,
    secret: { ...string, description: 'Shown here and nowhere afterwards.' },
    problems: { ...strings, description: 'Why it is not, or not fully, sent to; left out for nothing.' },
  },
  ['success', 'id', 'secret'],
);

export const replayMadeAnswer = answering({ success: boolean, id: integer, total: integer });

export const replayPreviewAnswer = answering({
  total: integer,
  by_type: listOf(answering({ type: string, count: integer })),
});

export const erasedAnswer = answering({
  success: boolean,
  events: integer,
  ended: integer,
  being_sent: integer,
  behind_bytes: {
    ...orNull(integer),
    description:
      'Log that is not captured yet, in which the erasure holds too; null when that cannot be told.',
  },
  key_file: { ...orNull(string), description: 'The key file that has lost the key; null without one.' },
  unknown: { ...strings, description: 'Numbers of which nothing is known: nothing was erased under them.' },
});

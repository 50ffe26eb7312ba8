import { z } from 'zod';
import type { WebhookRow } from '../../db/schema/schema.ts';
import { formatDuration } from '../../lib/duration.ts';
import { filterTest } from './filter.ts';
import { duration, flag, integer, oneOf, rate, text } from './plain-scalars.ts';
import { headerValue } from './webhook-scalars.ts';

/** The position of each entry in the file is looked up: 20,000 headers took 10 s. */
const maxEntries = 100;

function bounded<Map extends z.ZodRecord>(map: Map): Map {
  return map
    .refine(
      (entries) => Object.keys(entries as object).length <= maxEntries,
      `has more than ${maxEntries} entries`,
    )
    .meta({ maxProperties: maxEntries });
}

/** One optional setting of a webhook: what the file, the API, the command line, the code and the store call it. */
interface Setting<Name extends string, Check extends z.ZodType, Json> {
  /** In the code. */
  name: Name;
  /** In a row of the store, as Drizzle names it. */
  column: keyof WebhookRow;
  /** Reads it from the file, the API and the command line. */
  check: Check;
  /** Option of the command line, where there is one; `none` is the text there for null. */
  option?: { flags: string; description: string; none?: string };
  /** Writes it as `check` reads it. */
  toJson(value: z.output<Check>): Json;
  /** JSON schema of what `toJson` returns. */
  answer: Readonly<Record<string, unknown>>;
}

/** A setting that JSON has as the code has it. */
function plain<const Name extends string, Check extends z.ZodType>(
  given: Omit<Setting<Name, Check, z.output<Check>>, 'toJson'>,
): Setting<Name, Check, z.output<Check>> {
  return { ...given, toJson: (value) => value };
}

function written<const Name extends string, Check extends z.ZodType, Json>(
  given: Setting<Name, Check, Json>,
): Setting<Name, Check, Json> {
  return given;
}

const orNull = (schema: object) => ({ anyOf: [schema, { type: 'null' }] });

/**
 * The optional settings of a webhook by their keys in the file, whose defaults are `webhook_defaults`. The schema of the configuration, the
 * options, the API's body and answers, and the columns of a row are made from this table.
 */
export const webhookSettings = {
  active: plain({ name: 'isActive', column: 'isActive', check: flag(), answer: { type: 'boolean' } }),
  /** null lets everything pass. */
  filter: plain({
    name: 'filter',
    column: 'filter',
    check: bounded(z.record(z.string(), filterTest())).nullable(),
    option: {
      flags: '--filter <json>',
      description: 'only events with these values: \'{"branch_id":[1,2],"amount":{"gt":100}}\', or null',
    },
    answer: orNull({ type: 'object' }),
  }),
  /** The fields of `data` that are sent; null for all. */
  fields: plain({
    name: 'fields',
    column: 'fields',
    check: z.array(text(64)).min(1, 'is empty: leave it out to send all fields').nullable(),
    option: {
      flags: '--field <name...>',
      description: 'only these fields of data; "*" for all',
      none: '*',
    },
    answer: orNull({ type: 'array', items: { type: 'string' } }),
  }),
  headers: plain({
    name: 'headers',
    column: 'headers',
    check: bounded(z.record(z.string(), headerValue())),
    option: { flags: '--header <name: value>', description: 'sent with every request; may be repeated' },
    answer: { type: 'object', additionalProperties: { type: 'string' } },
  }),
  order: plain({
    name: 'order',
    column: 'deliveryOrder',
    check: oneOf(['entity', 'none']),
    option: { flags: '--order <order>', description: 'entity or none' },
    answer: { enum: ['entity', 'none'] },
  }),
  max_in_flight: plain({
    name: 'maxInFlight',
    column: 'maxInFlight',
    check: integer(1, 1_000),
    option: { flags: '--max-in-flight <n>', description: 'requests at the same time' },
    answer: { type: 'integer' },
  }),
  /** Requests a second; null is without a limit. */
  rate_limit: written({
    name: 'ratePerSecond',
    column: 'ratePerSecond',
    check: rate().nullable(),
    option: { flags: '--rate-limit <rate>', description: 'requests at most, as in 50/s' },
    toJson: (perSecond) => (perSecond === null ? null : formatRate(perSecond)),
    answer: orNull({ type: 'string' }),
  }),
  timeout: written({
    name: 'timeoutMs',
    column: 'timeoutMs',
    check: duration('100ms', '5m'),
    option: { flags: '--timeout <duration>', description: 'for a whole request, as in 15s' },
    toJson: (ms) => (ms % 1_000 === 0 ? formatDuration(ms) : `${ms}ms`),
    answer: { type: 'string' },
  }),
  legacy_signature: plain({
    name: 'legacySignature',
    column: 'legacySignature',
    check: flag(),
    option: {
      flags: '--legacy-signature <bool>',
      description: 'whether x-webhook-signature is sent: true or false',
    },
    answer: { type: 'boolean' },
  }),
  /** A name in `delivery.client_certificates`; null for none. */
  client_certificate: plain({
    name: 'clientCertificate',
    column: 'clientCertificate',
    check: text(64).nullable(),
    option: {
      flags: '--client-certificate <name>',
      description: "one of delivery.client_certificates; '' for none",
      none: '',
    },
    answer: orNull({ type: 'string' }),
  }),
};

type Table = typeof webhookSettings;
type Key = keyof Table;

/** As the code has it: nothing of it is changed. */
type Fixed<Value> = Value extends readonly (infer Item)[]
  ? readonly Item[]
  : Value extends object
    ? Readonly<Value>
    : Value;

/** What is optional in a webhook, by its names in the code. */
export type WebhookSettings = { [K in Key as Table[K]['name']]: Fixed<z.output<Table[K]['check']>> };

/** The API says `is_active` where the file says `active`. */
type ApiKey<K extends string> = K extends 'active' ? 'is_active' : K;
const apiKey = (key: string): string => (key === 'active' ? 'is_active' : key);

type Checks = { [K in Key]: Table[K]['check'] };
type Jsons = { [K in Key as ApiKey<K>]: ReturnType<Table[K]['toJson']> };
type Answers = { [K in Key as ApiKey<K>]: Readonly<Record<string, unknown>> };

/** What a function returns for each setting. The callers name the type: the compiler cannot derive it from the keys. */
function mapSettings(
  nameOf: (key: Key) => string,
  valueOf: (setting: Table[Key], key: Key) => unknown,
): Record<string, unknown> {
  const keys = Object.keys(webhookSettings) as Key[];
  return Object.fromEntries(keys.map((key) => [nameOf(key), valueOf(webhookSettings[key], key)]));
}

/** The check of each, by its key in the file. */
export const settingChecks = mapSettings(
  (key) => key,
  ({ check }) => check,
) as Checks;

/** The JSON schema of each in an answer. */
export const settingAnswers = mapSettings(apiKey, ({ answer }) => answer) as Answers;

/** Gives values, by their keys in the file, the names of the code. Undefined stays undefined. */
export function toSettings<Given extends Partial<Record<Key, unknown>>>(
  given: Given,
): { [K in Key as Table[K]['name']]: Given[K] } {
  return mapSettings(
    (key) => webhookSettings[key].name,
    (_, key) => given[key],
  ) as { [K in Key as Table[K]['name']]: Given[K] };
}

/** The columns of settings. Undefined stays undefined. */
export function toSettingColumns(settings: Partial<WebhookSettings>): Partial<WebhookRow> {
  return mapSettings(
    (key) => webhookSettings[key].column,
    ({ name }) => settings[name],
  );
}

type Documents = 'filter' | 'fields' | 'headers';
type RowSettings = Omit<WebhookSettings, Documents> & Record<Documents, unknown>;

/** The settings in a row, as the row has them: documents are not checked. */
export function fromSettingColumns(row: WebhookRow): RowSettings {
  return mapSettings(
    (key) => webhookSettings[key].name,
    ({ column }) => row[column],
  ) as RowSettings;
}

/** Settings as programs read them, so that what was read can be sent back. */
export function settingsJson(settings: WebhookSettings): Jsons {
  return mapSettings(apiKey, ({ name, toJson }) =>
    (toJson as (value: unknown) => unknown)(settings[name]),
  ) as Jsons;
}

/** `50/s`, `30/m`, `100/h`: in the largest unit that gives a whole number. */
function formatRate(perSecond: number): string {
  const spellings = [
    ['s', perSecond],
    ['m', perSecond * 60],
    ['h', perSecond * 3_600],
  ] as const;
  const isWhole = (count: number): boolean => Math.abs(count - Math.round(count)) < 1e-6;
  const [unit, count] = spellings.find(([, each]) => isWhole(each)) ?? spellings[2];
  return `${Math.round(count)}/${unit}`;
}

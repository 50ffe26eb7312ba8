import type { Actor } from '../audit/act/record-act.ts';
import type { Role, WebhookSettings } from '../config/types.ts';
import type { Sender } from '../delivery/send/send.ts';
import { AppError } from '../lib/errors.ts';
import type { LogEnd } from '../outbox/payload/standing-erasures.ts';
import type { Subscription } from '../outbox/types.ts';
import type { EncryptedStore } from '../db/connection/encrypted-store.ts';

/** A JSON schema. */
export type Schema = Readonly<Record<string, unknown>>;

/** What a person says of a webhook, as far as it can be judged before it is sent to. */
export type Judged = Partial<
  Pick<Subscription, 'url' | 'events' | 'headers' | 'filter' | 'fields' | 'clientCertificate'>
>;

/** What routes work on: the daemon passes it, so that this room knows no loops. */
export interface ApiContext {
  vault: EncryptedStore;
  sender: Sender;
  /** The subscriptions in force. */
  webhooks(): readonly Subscription[];
  /** What is wrong with webhooks in force that were saved all the same, by id. */
  problems(): ReadonlyMap<number, readonly string[]>;
  webhookDefaults(): WebhookSettings;
  secretOverlapMs(): number;
  /** What is wrong with a webhook that is to be saved: sentences. */
  judge(webhook: Judged): Promise<string[]>;
  /** A webhook was changed: takes effect before this resolves. */
  onWebhooksChanged(): Promise<void>;
  /** A delivery has entered the queue. */
  onQueued(): void;
  status(): Promise<object>;
  /** Where the source's log ends, and how much of it is not captured yet. */
  backlog(): Promise<{ logEnd: LogEnd; behindBytes: number | null }>;
  /** The event types: those of the rules, and our own. */
  eventTypes(): { events: readonly object[]; own: readonly object[] };
}

export interface ApiRequest {
  actor: Actor;
  params: Readonly<Record<string, string>>;
  query: Readonly<Record<string, string>>;
  body: unknown;
}

/** One route of the API. The server, the OpenAPI document and the test of roles are made of the same list. */
export interface ApiRoute {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** `:name` is a parameter. */
  path: string;
  /** The least that one must be. */
  role: Role;
  summary: string;
  /** By parameter of the path and of the query: its schema; those of the query may be left out. */
  params?: Readonly<Record<string, Schema>>;
  query?: Readonly<Record<string, Schema>>;
  body?: Schema;
  /** What it answers. */
  answer?: Schema;
  /** The route reads its body by itself, in better words than a schema has; `body` is for the document. */
  readsBody?: true;
  /** Default 200. */
  status?: 200 | 201;
  handle(request: ApiRequest, context: ApiContext): Promise<object>;
}

export const text = (maxLength: number): Schema => ({ type: 'string', minLength: 1, maxLength });
export const id: Schema = { type: 'string', pattern: '^[1-9][0-9]{0,15}$', description: 'A number.' };
/** Days of the calendar from 1970 to 2999, leap years included; what is no day, such as 0000-00-00, does not fit. */
const year = '(19[7-9][0-9]|2[0-9]{3})';
const leapYear = '(19(7[26]|8[048]|9[26])|2[0-9](0[48]|[2468][048]|[13579][26])|2[048]00)';
const monthDay =
  '((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))';
const time = 'T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,9})?)?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])';

const moment: Schema = {
  type: 'string',
  pattern: `^(${year}-${monthDay}|${leapYear}-02-29)(${time})?$`,
  description: 'ISO 8601 with an offset: 2026-03-07T15:30:00Z; or a date, in UTC.',
};

export const period = { since: moment, until: moment } as const;

export const paging = {
  cursor: { ...id, description: 'next_cursor of the page before.' },
  limit: {
    type: 'string',
    pattern: '^([1-9][0-9]?|[1-4][0-9]{2}|500)$',
    description: '1 to 500; default 50.',
  },
} as const;

/** An object that has these keys and no other. */
export function object(
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = [],
): Schema {
  return { type: 'object', properties, required, additionalProperties: false };
}

export function pagingOf({ cursor, limit }: ApiRequest['query']): { cursor?: number; limit: number } {
  return { ...(cursor !== undefined && { cursor: Number(cursor) }), limit: Number(limit ?? 50) };
}

/** Throws AppError ERR_USAGE for a period in which nothing can lie. */
export function periodOf({ since, until }: { since?: string; until?: string }): {
  sinceMs?: number;
  untilMs?: number;
} {
  const [sinceMs, untilMs] = [since, until].map((time) =>
    time === undefined ? undefined : Date.parse(time),
  );
  if (sinceMs !== undefined && untilMs !== undefined && sinceMs >= untilMs) {
    throw new AppError('ERR_USAGE', 'since must lie before until');
  }
  return {
    ...(sinceMs !== undefined && { sinceMs }),
    ...(untilMs !== undefined && { untilMs }),
  };
}

/** `appointments:45` */
export const entity: Schema = {
  type: 'string',
  pattern: '^[^:]+:.+$',
  maxLength: 320,
  description: 'table:key',
};

export function entityOf(given: string): { table: string; key: string } {
  const colon = given.indexOf(':');
  return { table: given.slice(0, colon), key: given.slice(colon + 1) };
}

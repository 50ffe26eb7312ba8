import type { Actor } from '../audit/act/record-act.ts';
import {
  idValue,
  limitValue,
  momentValue,
  readQueryValue,
  requirePeriod,
  type QueryValue,
} from '../config/setting/query-value.ts';
import type { Role, WebhookSettings } from '../config/types.ts';
import type { Sender } from '../delivery/send/send.ts';
import { systemClock } from '../lib/clock.ts';
import type { EventTypeInfo } from '../event/types.ts';
import type { LogEnd } from '../outbox/payload/standing-erasures.ts';
import type { Subscription } from '../outbox/types.ts';
import type { EncryptedStore } from '../db/connection/encrypted-store.ts';

/** A JSON schema. */
export type Schema = Readonly<Record<string, unknown>>;

/** What a person says of a webhook, as far as it can be checked before it is sent to. */
export type Checked = Partial<
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
  check(webhook: Checked): Promise<string[]>;
  /** A webhook was changed: takes effect before this resolves. */
  onWebhooksChanged(): Promise<void>;
  /** A delivery has entered the queue. */
  onQueued(): void;
  status(): Promise<object>;
  /** Where the source's log ends, and how much of it is not captured yet. */
  backlog(): Promise<{ logEnd: LogEnd; behindBytes: number | null }>;
  /** The event types: those of the rules, and our own. */
  eventTypes(): { events: readonly EventTypeInfo[]; own: readonly EventTypeInfo[] };
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

/** The schema of what a value reads. `mustBe` is what a refusal says, `description` is for the document. */
export function asked({ json, mustBe }: QueryValue<unknown>, description?: string): Schema {
  return { ...json, mustBe, ...(description !== undefined && { description }) };
}

export const id = asked(idValue);

export const period = { since: asked(momentValue), until: asked(momentValue) } as const;

export const paging = {
  cursor: asked(idValue, '`next_cursor` of the page before.'),
  limit: asked(limitValue, 'Default 50.'),
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
  const nowMs = systemClock.now();
  const read = (name: string, text?: string): number | undefined =>
    text === undefined ? undefined : readQueryValue(momentValue, { name, text, nowMs });
  const [sinceMs, untilMs] = [read('since', since), read('until', until)];
  requirePeriod({ since: sinceMs, until: untilMs });
  return {
    ...(sinceMs !== undefined && { sinceMs }),
    ...(untilMs !== undefined && { untilMs }),
  };
}

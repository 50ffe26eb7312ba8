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

/** The settings of a webhook that can be checked before anything is sent to it. */
export type Checked = Partial<
  Pick<Subscription, 'url' | 'events' | 'headers' | 'filter' | 'fields' | 'clientCertificate'>
>;

/** The operations that routes use: the daemon passes them in, so that src/http does not depend on its loops. */
export interface ApiContext {
  vault: EncryptedStore;
  sender: Sender;
  /** The subscriptions in force. */
  webhooks(): readonly Subscription[];
  /** Problems of webhooks that are in force although they have problems, by id. */
  problems(): ReadonlyMap<number, readonly string[]>;
  webhookDefaults(): WebhookSettings;
  secretOverlapMs(): number;
  /** Returns the problems of a webhook that is to be saved, as sentences. */
  check(webhook: Checked): Promise<string[]>;
  /** Call it after a webhook was changed: the change takes effect before this resolves. */
  onWebhooksChanged(): Promise<void>;
  /** Call it after a delivery has entered the queue. */
  onQueued(): void;
  status(): Promise<object>;
  /** The end of the source's binlog, and the number of its bytes that are not captured yet. */
  backlog(): Promise<{ logEnd: LogEnd; behindBytes: number | null }>;
  /** The event types of the rules, and the system events. */
  eventTypes(): { events: readonly EventTypeInfo[]; own: readonly EventTypeInfo[] };
}

export interface ApiRequest {
  actor: Actor;
  params: Readonly<Record<string, string>>;
  query: Readonly<Record<string, string>>;
  body: unknown;
}

/** One route of the API. The server, the OpenAPI document and the test of roles all use the same list. */
export interface ApiRoute {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** `:name` is a parameter. */
  path: string;
  /** The lowest role that may call it. */
  role: Role;
  summary: string;
  /** Schemas of the path and query parameters by name; query parameters are optional. */
  params?: Readonly<Record<string, Schema>>;
  query?: Readonly<Record<string, Schema>>;
  body?: Schema;
  /** The schema of the answer. */
  answer?: Schema;
  /** The route checks its body itself, with better messages than a schema gives; `body` is only for the document. */
  readsBody?: true;
  /** Default 200. */
  status?: 200 | 201;
  handle(request: ApiRequest, context: ApiContext): Promise<object>;
}

/** The schema of a query value. `mustBe` is the text for refusals, `description` is for the document. */
export function asked({ json, mustBe }: QueryValue<unknown>, description?: string): Schema {
  return { ...json, mustBe, ...(description !== undefined && { description }) };
}

export const id = asked(idValue);

export const period = { since: asked(momentValue), until: asked(momentValue) } as const;

export const paging = {
  cursor: asked(idValue, '`next_cursor` of the page before.'),
  limit: asked(limitValue, 'Default 50.'),
} as const;

/** An object with these keys and no others. */
export function object(
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = [],
): Schema {
  return { type: 'object', properties, required, additionalProperties: false };
}

export function pagingOf({ cursor, limit }: ApiRequest['query']): { cursor?: number; limit: number } {
  return { ...(cursor !== undefined && { cursor: Number(cursor) }), limit: Number(limit ?? 50) };
}

/** Throws AppError ERR_USAGE for an empty period. */
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

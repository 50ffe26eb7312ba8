import type { InferSelectModel } from 'drizzle-orm';
import { parseStoredFilter } from '../config/filter.ts';
import type { SecretBox } from '../db/encryption.ts';
import { sql } from '../db/drizzle.ts';
import { webhooks } from '../db/schema.ts';
import { AppError, messageOf } from '../lib/errors.ts';
import type { Subscription, Webhook } from './types.ts';

/** A webhook as people see it: without its secrets. */
export interface WebhookRecord extends Omit<Webhook, 'secrets'> {
  createdAt: Date;
  updatedAt: Date;
  /** Until when two secrets sign; null outside a rotation. */
  rotationEndsAt: Date | null;
  failingSince: Date | null;
  disabledAt: Date | null;
  /** Why the engine disabled it; null when a person did, or when it is active. */
  disabledReason: DisableReason | null;
}

/** Why the engine disabled a webhook: it answered 410, or failed for `disable_after` without a pause. */
export type DisableReason = 'gone' | 'failing';

export type WebhookRow = InferSelectModel<typeof webhooks>;

/** True while a rotation overlaps, by the store's clock. */
export const isOverlapping = sql<number>`coalesce(${webhooks.previousSecretExpiresAt} > utc_timestamp(3), 0)`;

/** What a sealed secret is bound to, so that it opens in no other row. */
export function secretContext(id: number): string {
  return `webhook ${id}`;
}

/**
 * A row as the engine uses it. A row may have been written by hand: throws AppError ERR_CONFIG that names what is wrong in
 * it, ERR_SECRET_KEY when its secret does not open.
 */
export function toSubscription(row: WebhookRow, overlapping: boolean, box: SecretBox): Subscription {
  const { isActive } = row;
  const secrets = [row.secret, ...(overlapping && row.previousSecret !== null ? [row.previousSecret] : [])];
  const opened = secrets.map((secret) => box.open(secret, secretContext(row.id)));
  if (opened[0] === '') {
    throw new AppError('ERR_CONFIG', `the webhook ${row.id} (${row.name}) has no secret: its events wait`, {
      remedy: 'Give it one: webhooks rotate-secret.',
    });
  }
  return {
    ...toShape(row),
    secrets: opened,
    collects: isActive || row.disabledReason !== null,
    failingSinceMs: row.failingSince?.getTime() ?? null,
  };
}

/** A row that cannot be used, as far as its events can be queued until it can. */
export function toParked(row: WebhookRow): Subscription[] {
  const collects = row.isActive || row.disabledReason !== null;
  try {
    return [{ ...toShape(row), isActive: false, secrets: [], collects, failingSinceMs: null }];
  } catch {
    return [];
  }
}

export function toRecord(row: WebhookRow, overlapping: boolean): WebhookRecord {
  return {
    ...toShape(row),
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
    rotationEndsAt: overlapping ? row.previousSecretExpiresAt : null,
    failingSince: row.failingSince,
    disabledAt: row.isActive ? null : row.disabledAt,
    disabledReason: row.isActive ? null : (row.disabledReason as DisableReason | null),
  };
}

function toShape(row: WebhookRow): Omit<Webhook, 'secrets'> {
  return {
    id: row.id,
    name: row.name,
    url: row.url,
    events: checked(row, 'events', isTextList),
    isActive: row.isActive,
    managedBy: row.managedBy,
    filter: toFilter(row),
    fields: row.fields === null ? null : checked(row, 'fields', isTextList),
    headers: row.headers === null ? {} : checked(row, 'headers', isTextMap),
    order: row.deliveryOrder,
    maxInFlight: Math.max(1, row.maxInFlight),
    ratePerSecond: row.ratePerSecond,
    timeoutMs: row.timeoutMs,
    legacySignature: row.legacySignature,
  };
}

function toFilter(row: WebhookRow): Webhook['filter'] {
  if (row.filter === null) return null;
  try {
    return parseStoredFilter(row.filter);
  } catch (error) {
    throw malformed(row, 'filter', messageOf(error));
  }
}

function checked<T>(
  row: WebhookRow,
  column: 'events' | 'fields' | 'headers',
  is: (value: unknown) => value is T,
): T {
  const value = row[column];
  if (is(value)) return value;
  throw malformed(row, column);
}

function malformed(row: WebhookRow, column: keyof typeof examples, problem?: string): AppError {
  const message = `the webhook ${row.id} (${row.name}) has a malformed ${column}${problem === undefined ? '' : `: ${problem}`}`;
  return new AppError('ERR_CONFIG', message, {
    remedy: `Correct the column webhooks.${column}: ${examples[column]}`,
  });
}

const examples = {
  events: '["payment.received","appointment.*"]',
  fields: '["payment_id","amount"]',
  headers: '{"X-Clinic":"central"}',
  filter: '{"branch_id":[1,2]}',
};

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTextMap(value: unknown): value is Record<string, string> {
  return isObject(value) && Object.values(value).every((item) => typeof item === 'string');
}

/** What is wrong with a row, for the log; never its secret. */
export interface WebhookProblem {
  id: number;
  name: string;
  message: string;
}

export function toProblem(row: WebhookRow, error: unknown): WebhookProblem {
  return { id: row.id, name: row.name, message: messageOf(error) };
}

import type { Cipher } from '../../crypto/cipher.ts';
import { sql } from '../../db/schema/drizzle.ts';
import { webhooks, type WebhookRow } from '../../db/schema/schema.ts';
import { AppError } from '../../lib/errors.ts';
import { mask, maskUrl } from '../../lib/mask-url.ts';
import { checkSecret } from '../../lib/secret.ts';
import type { Subscription, Webhook, WebhookStanding } from '../types.ts';
import { maskHeaders, decryptCredentials } from './webhook-credentials.ts';
import { readShape } from './webhook-shape.ts';

/** A webhook for display: without its secrets, with masked URL and header values. */
export interface WebhookRecord extends Omit<Webhook, 'secrets'> {
  standing: WebhookStanding;
  /** Problems of its row: sentences that quote no value. */
  problems: readonly string[];
  createdAt: Date;
  updatedAt: Date;
  /** Until when two secrets sign; null outside a rotation. */
  rotationEndsAt: Date | null;
  failingSince: Date | null;
  /** Time at which an operator paused it. */
  pausedAt: Date | null;
  disabledAt: Date | null;
  /** Why the engine disabled it; null when an operator did, or when it is active. */
  disabledReason: DisableReason | null;
}

/** Why the engine disabled a webhook: it answered 410, or failed for `disable_after` without a success. */
export type DisableReason = 'gone' | 'failing';

/** True while a rotation overlaps, by the store's clock. */
export const isOverlapping = sql<number>`coalesce(${webhooks.previousSecretExpiresAt} > utc_timestamp(3), 0)`;

/** The context of an encrypted secret, so that it cannot be decrypted in another row. */
export function secretContext(id: number): string {
  return `webhook ${id}`;
}

/** The problems of a row, for the log; never with its secret. */
export interface WebhookProblem {
  id: number;
  name: string;
  message: string;
}

/** A row with its contents. */
export interface ReadRow {
  webhook: Subscription;
  record: WebhookRecord;
}

/**
 * Reads a row, which may have been edited by SQL. Unusable values are among the problems of the record; the webhook is then `unfit` and nothing is sent to
 * it. Its events are queued if the row names them.
 */
export function readRow(row: WebhookRow, overlapping: boolean, cipher: Cipher): ReadRow {
  const { open, problem: sealedProblem } = openRow(row, cipher);
  const { shape, problems, chooses } = readShape(open);
  if (sealedProblem !== undefined) problems.push(sealedProblem);
  const { secrets, problem, weakness } = openSecrets(row, overlapping, cipher);
  if (problem !== undefined) problems.push(problem);
  const standing = standingOf(row, problems);
  const isActive = standing === 'active';
  const webhook = {
    ...shape,
    isActive,
    standing,
    secrets,
    collects: chooses && (row.isActive || row.disabledReason !== null),
    failingSinceMs: row.failingSince?.getTime() ?? null,
  };
  const record = {
    ...shape,
    url: maskUrl(shape.url),
    headers: maskHeaders(shape.headers),
    isActive: row.isActive,
    standing,
    problems: weakness === undefined ? problems : [...problems, weakness],
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
    rotationEndsAt: overlapping ? row.previousSecretExpiresAt : null,
    failingSince: row.failingSince,
    pausedAt: row.pausedAt,
    disabledAt: row.isActive ? null : row.disabledAt,
    disabledReason: row.isActive ? null : (row.disabledReason as DisableReason | null),
  };
  return { webhook, record };
}

function openRow(row: WebhookRow, cipher: Cipher): { open: WebhookRow; problem?: string } {
  try {
    const open = decryptCredentials(row, cipher);
    return open.url.includes(mask)
      ? { open, problem: 'url has a masked part: write the whole URL' }
      : { open };
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'ERR_SECRET_KEY')) throw error;
    return { open: { ...row, headers: null }, problem: `url or headers do not open: ${error.message}` };
  }
}

function standingOf(
  { isActive, pausedAt, disabledReason }: WebhookRow,
  problems: readonly string[],
): WebhookStanding {
  if (!isActive) return disabledReason === null ? 'inactive' : 'disabled';
  if (problems.length > 0) return 'unfit';
  return pausedAt === null ? 'active' : 'paused';
}

interface OpenedSecrets {
  /** Current secret first; none if it cannot be used. */
  secrets: string[];
  problem?: string;
  /** A secret that is used, but with which receivers may fail to verify. */
  weakness?: string | undefined;
}

function openSecrets(row: WebhookRow, overlapping: boolean, cipher: Cipher): OpenedSecrets {
  try {
    const stored = [row.secret, ...(overlapping && row.previousSecret !== null ? [row.previousSecret] : [])];
    const secrets = stored.map((secret) => cipher.decrypt(secret, secretContext(row.id)));
    if (secrets[0] === '')
      return { secrets: [], problem: 'secret is empty: webhooks rotate-secret makes one' };
    return { secrets, weakness: checkSecret(secrets[0]!) };
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'ERR_SECRET_KEY')) throw error;
    return { secrets: [], problem: `secret does not open: ${error.message}` };
  }
}

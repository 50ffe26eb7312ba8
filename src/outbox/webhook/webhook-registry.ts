import type { Session, Store } from '../../db/connection/client.ts';
import { and, asc, eq, getTableColumns, isNull, sql } from '../../db/schema/drizzle.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { webhooks } from '../../db/schema/schema.ts';
import { webhookColumns } from '../../db/schema/webhook-columns.ts';
import { toSettingColumns } from '../../config/setting/webhook-settings.ts';
import type { WebhookSettings } from '../../config/types.ts';
import { AppError } from '../../lib/errors.ts';
import { checkSecret, generateSecret } from '../../lib/secret.ts';
import {
  isOverlapping,
  readRow,
  secretContext,
  type WebhookProblem,
  type WebhookRecord,
} from './webhook-row.ts';
import type { WebhookRow } from '../../db/schema/schema.ts';
import { maskUrl } from '../../lib/mask-url.ts';
import {
  reencryptCredentials,
  encryptCredentials,
  tryDecryptCredentials,
  unmask,
} from './webhook-credentials.ts';
import { describeRefused, isSameName, readRefused, refusedVersion, type Claim } from './file-claims.ts';
import { endQueued } from '../queue/end-queued.ts';
import { freesRetries, makeRetriesDue } from '../queue/owed.ts';
import type { Subscription } from '../types.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

export interface NewWebhook extends Partial<WebhookSettings> {
  name: string;
  url: string;
  events: readonly string[];
  /** Default: a new secret is generated. */
  secret?: string;
}

export type WebhookChanges = Partial<Omit<NewWebhook, 'secret'>>;

/** Writes the record of a change (its actor) in the same transaction. */
export interface AfterWrite {
  /** Called while the row is locked and unchanged. An error refuses the change. */
  before(tx: Session, id: number): Promise<void>;
  after(tx: Session, id: number): Promise<void>;
}

const live = isNull(webhooks.deletedAt);

/**
 * All subscriptions, active or not, and the problems of rows. Nothing is sent for a row that cannot be used, but its events are queued if the row names
 * them; other rows are not affected.
 */
export async function loadWebhooks({
  store,
  cipher,
}: EncryptedStore): Promise<{ webhooks: Subscription[]; problems: WebhookProblem[] }> {
  const rows = await selectRows(store);
  const among = { rows: rows.map(({ row }) => row), refused: await readRefused(store) };
  const read = rows.map(({ row, overlapping }) => readRow(row, overlapping, cipher));
  return {
    webhooks: read.map(({ webhook }) => webhook),
    problems: read.flatMap(({ record }) => {
      const { id, name, problems } = checkAmong(record, among);
      return problems.map((message) => ({ id, name, message }));
    }),
  };
}

/** One webhook as used for sending. Throws AppError ERR_NOT_FOUND, or ERR_CONFIG with the problems of its row. */
export async function loadWebhook({ store, cipher }: EncryptedStore, id: number): Promise<Subscription> {
  const [found] = await selectRows(store, id);
  if (!found) throw notFound(id);
  const { webhook, record } = readRow(found.row, found.overlapping, cipher);
  if (!isSendable(webhook)) {
    throw new AppError(
      'ERR_CONFIG',
      `the webhook ${id} (${record.name}) cannot be used: ${record.problems.join('; ')}`,
      { remedy: 'Correct it: webhooks update, or webhooks rotate-secret.' },
    );
  }
  return webhook;
}

/** Whether it has everything that a request needs, active or not. */
function isSendable({ standing, secrets }: Subscription): boolean {
  return standing !== 'unfit' && secrets.length > 0;
}

/** Columns that the engine writes while it delivers: they change nothing of what it does. */
const unversioned: ReadonlySet<string> = new Set(['failing_since', 'missed_from', 'missed_to']);
const versioned = Object.values(getTableColumns(webhooks))
  .map(({ name }) => name)
  .filter((name) => !unversioned.has(name));

/**
 * A text that changes with every change that matters to the engine: also by plain SQL, at the end of a rotation's overlap, and when a daemon refuses or
 * accepts a definition of its file. It is a checksum of the rows, because an UPDATE within the same millisecond does not change `updated_at`.
 */
export async function readWebhooksVersion(session: Session): Promise<string> {
  const columns = [...versioned, 'previous_secret_expires_at > UTC_TIMESTAMP(3)'];
  const [row] = await session.rows<{ version: string }>(
    // One checksum for each column: a text of all columns that is larger than max_allowed_packet would be NULL, and edits of the row would not be seen.
    `SELECT CONCAT(COUNT(*), ':', COALESCE(SUM(CRC32(CONCAT_WS('|', ${columns
      .map((column) => `COALESCE(CRC32(COALESCE(${column}, '~')), 0)`)
      .join(', ')}))), 0), ':', (${refusedVersion})) AS version FROM webhooks`,
  );
  return row!.version;
}

export async function listWebhooks({ store, cipher }: EncryptedStore): Promise<WebhookRecord[]> {
  const rows = await selectRows(store);
  const among = { rows: rows.map(({ row }) => row), refused: await readRefused(store) };
  return rows.map(({ row, overlapping }) => checkAmong(readRow(row, overlapping, cipher).record, among));
}

/** Throws AppError ERR_NOT_FOUND. */
export async function getWebhook({ store, cipher }: EncryptedStore, id: number): Promise<WebhookRecord> {
  const [found] = await selectRows(store, id);
  if (!found) throw notFound(id);
  return readRow(found.row, found.overlapping, cipher).record;
}

/**
 * The id of the live webhook with this id (checked first) or name; letter case matters only if SQL has used a name twice. Throws
 * AppError ERR_NOT_FOUND, ERR_USAGE when two webhooks have the name.
 */
export async function findWebhookId(session: Session, idOrName: string): Promise<number> {
  const all = await selectRows(session);
  const byId = all.find(({ row }) => String(row.id) === idOrName);
  if (byId) return byId.row.id;
  const exact = all.filter(({ row }) => row.name === idOrName);
  const found = exact.length > 0 ? exact : all.filter(({ row }) => isSameName(row.name, idOrName));
  if (found.length > 1) {
    throw new AppError('ERR_USAGE', `${found.length} webhooks are named "${idOrName}"`, {
      remedy: `Use an id: ${found.map(({ row }) => row.id).join(', ')}.`,
    });
  }
  if (!found[0]) throw notFound(idOrName);
  return found[0].row.id;
}

/**
 * Adds a webhook that the database manages. Returns the secret, which cannot be read again. Settings that are left out get the column's default. Throws
 * AppError ERR_USAGE for an invalid secret, ERR_CONFLICT for a name that is taken.
 */
export async function createWebhook(
  { store, cipher }: EncryptedStore,
  { secret = generateSecret(), ...input }: NewWebhook,
  along?: AfterWrite,
): Promise<{ id: number; secret: string }> {
  requireFitSecret(secret);
  unmask(input);
  return store.transaction(async (tx) => {
    await refuseTakenName(tx, input.name);
    const row = { ...toColumns(input), ...required(input), managedBy: 'database' } as const;
    const id = await insertWebhook(tx, row, { cipher, secret });
    await along?.after(tx, id);
    return { id, secret };
  });
}

/**
 * Edits the settings that a person may edit; if an edit decides whether requests arrive, waiting retries become due at once. Throws AppError
 * ERR_NOT_FOUND, ERR_CONFLICT when the file manages it or the name is taken.
 */
export async function updateWebhook(
  { store, cipher }: EncryptedStore,
  id: number,
  given: WebhookChanges,
  along?: AfterWrite,
): Promise<void> {
  const changes = await store.transaction(async (tx) => {
    if (given.name !== undefined) await refuseTakenName(tx, given.name, id);
    const row = tryDecryptCredentials(await lockEditable(tx, id), cipher);
    const changes = unmask(given, row);
    await along?.before(tx, id);
    const moved = changes.url !== undefined && changes.url !== row.url;
    const set = encryptCredentials(cipher, id, { ...toColumns(changes), ...(moved ? freshStart : {}) });
    if (Object.keys(set).length > 0) await tx.drizzle.update(webhooks).set(set).where(eq(webhooks.id, id));
    await along?.after(tx, id);
    return changes;
  });
  if (freesRetries(Object.keys(changes))) await makeRetriesDue(store, id);
}

/** Deletes a webhook: nothing more is sent to it, waiting deliveries end, the log stays. Throws like `updateWebhook`. */
export async function deleteWebhook(store: Store, id: number, along?: AfterWrite): Promise<void> {
  await store.transaction(async (tx) => {
    await lockEditable(tx, id);
    await along?.before(tx, id);
    await tx.run(
      `UPDATE webhooks SET deleted_at = UTC_TIMESTAMP(3), is_active = FALSE, secret = '', previous_secret = NULL WHERE id = ?`,
      [id],
    );
    await along?.after(tx, id);
  });
  await endQueued(store, id);
}

/**
 * Sets another secret. Both secrets sign for `overlapMs`, so that the receiver has time to change; a rotation within an overlap drops the oldest secret.
 * Throws like `updateWebhook`, and ERR_USAGE for an invalid secret.
 */
export async function rotateSecret(
  { store, cipher }: EncryptedStore,
  id: number,
  { overlapMs, secret = generateSecret() }: { overlapMs: number; secret?: string },
  along?: AfterWrite,
): Promise<{ secret: string }> {
  requireFitSecret(secret);
  await store.transaction(async (tx) => {
    await lockEditable(tx, id);
    await along?.before(tx, id);
    await replaceSecret(tx, { id, encrypted: cipher.encrypt(secret, secretContext(id)), overlapMs });
    await along?.after(tx, id);
  });
  await makeRetriesDue(store, id);
  return { secret };
}

/**
 * Encrypts values in the clear or under an older key, so that older keys may be removed. Values that cannot be decrypted stay unchanged, and
 * `loadWebhooks` reports them. Returns how many rows changed.
 */
export async function reencryptSecrets({ store, cipher }: EncryptedStore): Promise<number> {
  return store.transaction(async (tx) => {
    const rows = await tx.drizzle.select(webhookColumns).from(webhooks).where(live).for('update');
    let resealed = 0;
    for (const row of rows) {
      const { id, secret, previousSecret } = row;
      const again = (stored: string) => reencrypt(cipher, id, stored);
      const set = {
        secret: again(secret),
        previousSecret: previousSecret === null ? null : again(previousSecret),
        ...reencryptCredentials(row, cipher),
      };
      if (set.secret === secret && set.previousSecret === previousSecret && Object.keys(set).length === 2)
        continue;
      await tx.drizzle
        .update(webhooks)
        .set({ ...set, updatedAt: sql`${webhooks.updatedAt}` })
        .where(eq(webhooks.id, id));
      resealed += 1;
    }
    return resealed;
  });
}

function reencrypt(cipher: Cipher, id: number, stored: string): string {
  if (stored === '' || !cipher.isStale(stored)) return stored;
  try {
    return cipher.encrypt(cipher.decrypt(stored, secretContext(id)), secretContext(id));
  } catch (error) {
    if (error instanceof AppError && error.code === 'ERR_SECRET_KEY') return stored;
    throw error;
  }
}

/** The former secret becomes the previous one, valid for `overlapMs` by the store's clock. */
export async function replaceSecret(
  tx: Session,
  { id, encrypted, overlapMs }: { id: number; encrypted: string; overlapMs: number },
): Promise<void> {
  await tx.run(
    `UPDATE webhooks SET previous_secret = secret, secret = ?,
       previous_secret_expires_at = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND WHERE id = ?`,
    [encrypted, overlapMs * 1_000, id],
  );
}

/** Clears the engine's disabling and the start of failures. */
export const freshStart = { failingSince: null, disabledAt: null, disabledReason: null } as const;

/** The columns for the given settings; missing settings are left out. */
export function toColumns(input: WebhookChanges): Partial<WebhookRow> {
  const { name, url, events } = input;
  const columns = { name, url, events, ...toSettingColumns(input) };
  return Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined));
}

/** Inserts a row and returns its id, with which its credentials are authenticated. */
export async function insertWebhook(
  tx: Session,
  row: Partial<WebhookRow> & Pick<WebhookRow, 'name' | 'url' | 'events' | 'managedBy'>,
  { cipher, secret }: { cipher: Cipher; secret: string },
): Promise<number> {
  const { headers = null, ...rest } = row;
  const shown = cipher.keyId === null ? row.url : maskUrl(row.url);
  const [{ insertId }] = await tx.drizzle.insert(webhooks).values({ ...rest, url: shown, secret: '' });
  const id = row.id ?? insertId;
  await tx.drizzle
    .update(webhooks)
    .set({
      ...encryptCredentials(cipher, id, { url: row.url, headers }),
      secret: cipher.encrypt(secret, secretContext(id)),
      updatedAt: sql`${webhooks.updatedAt}`,
    })
    .where(eq(webhooks.id, id));
  return id;
}

function required({ name, url, events }: Pick<NewWebhook, 'name' | 'url' | 'events'>) {
  return { name, url, events };
}

/** Locks a row for an edit by a person. */
export async function lockEditable(tx: Session, id: number): Promise<WebhookRow> {
  const [row] = await tx.drizzle
    .select(webhookColumns)
    .from(webhooks)
    .where(and(eq(webhooks.id, id), live))
    .for('update');
  if (!row) throw notFound(id);
  if (row.managedBy === 'file') throw managedByFile(row.name);
  return row;
}

export function notFound(what: number | string): AppError {
  return new AppError('ERR_NOT_FOUND', `there is no webhook ${what}`, {
    remedy: 'Look it up: webhooks list.',
  });
}

export function managedByFile(name: string): AppError {
  return new AppError('ERR_CONFLICT', `the webhook "${name}" is managed by the configuration file`, {
    remedy: 'Edit it under `webhooks` in that file: the daemon takes a valid edit at once.',
  });
}

/** Names are unique without regard to case, among all that are not deleted. Only one writer at a time checks and writes. */
async function refuseTakenName(tx: Session, name: string, own?: number): Promise<void> {
  await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
  const rows = await tx.drizzle
    .select({ id: webhooks.id, name: webhooks.name, managedBy: webhooks.managedBy })
    .from(webhooks)
    .where(live);
  const taken = rows.find((row) => row.id !== own && isSameName(row.name, name));
  if (!taken) return;
  if (taken.managedBy === 'file') throw managedByFile(taken.name);
  throw new AppError('ERR_CONFLICT', `webhook ${taken.id} is named "${taken.name}"`, {
    remedy: 'Choose another name: case makes no difference.',
  });
}

interface Among {
  rows: readonly Pick<WebhookRow, 'id' | 'name'>[];
  refused: readonly Claim[];
}

/**
 * Adds problems between webhooks: SQL can use a name twice (events are sent to both), and daemons can define a webhook differently in their files.
 */
function checkAmong(record: WebhookRecord, { rows, refused }: Among): WebhookRecord {
  const twin = rows.find(({ id, name }) => id !== record.id && isSameName(name, record.name));
  const problems = [
    ...record.problems,
    ...(twin ? [`name is also that of webhook ${twin.id}: rename one`] : []),
    ...new Set(refused.filter(({ refusedFor }) => refusedFor === record.name).map(describeRefused)),
  ];
  return { ...record, problems };
}

function requireFitSecret(secret: string): void {
  const problem = checkSecret(secret);
  if (problem !== undefined) {
    throw new AppError('ERR_USAGE', problem, { remedy: 'Leave it out: one is made, and shown once.' });
  }
}

async function selectRows(
  session: Session,
  id?: number,
): Promise<{ row: WebhookRow; overlapping: boolean }[]> {
  const rows = await session.drizzle
    .select({ row: webhookColumns, overlapping: isOverlapping })
    .from(webhooks)
    .where(id === undefined ? live : and(live, eq(webhooks.id, id)))
    .orderBy(asc(webhooks.id));
  return rows.map(({ row, overlapping }) => ({ row, overlapping: overlapping === 1 }));
}

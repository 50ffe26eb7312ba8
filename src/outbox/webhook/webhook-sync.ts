import { isDeepStrictEqual } from 'node:util';
import type { Session } from '../../db/connection/client.ts';
import { and, asc, eq, isNull } from '../../db/schema/drizzle.ts';
import type { SecretBox } from '../../crypto/encryption.ts';
import { webhooks } from '../../db/schema/schema.ts';
import type { ConfiguredWebhook } from '../../config/types.ts';
import { freesRetries, makeRetriesDue } from '../queue/owed.ts';
import {
  freshStart,
  insertWebhook,
  isSameName,
  replaceSecret,
  toColumns,
  type WebhookVault,
} from './webhook-registry.ts';
import { sealCredentials, tryOpenCredentials } from './webhook-credentials.ts';
import { secretContext } from './webhook-row.ts';
import type { WebhookRow } from '../../db/schema/schema.ts';

/** What a sync did to one webhook. */
export interface SyncedChange {
  id: number;
  kind: 'create' | 'update' | 'rename' | 'deactivate';
  webhook: Pick<ConfiguredWebhook, 'name' | 'url' | 'events'>;
  /** Names of the columns that changed. */
  changed: readonly string[];
  /** What it was called until then. */
  from?: string;
}

export interface SyncOptions {
  overlapMs: number;
  /** At the beginning of the transaction of the sync, before the webhooks are read. */
  before?(tx: Session): Promise<void>;
  /**
   * The id of a webhook of this name whose row SQL has just deleted. It is created with that id again: an event that is being
   * captured meanwhile is routed to it.
   */
  idOf?(name: string): number | undefined;
  /** After each change, within the transaction. */
  record?(tx: Session, change: SyncedChange): Promise<void>;
  /** At the end of the transaction. */
  after?(tx: Session): Promise<void>;
}

/** Names of the webhooks that a sync changed. */
export interface Synced {
  created: string[];
  updated: string[];
  /** With their log and what is owed to them. */
  renamed: { from: string; to: string }[];
  /** They left the file: inactive, and from now on the database's to manage. */
  deactivated: string[];
}

/**
 * Makes the store's webhooks those of the file. One of the same name that the database managed is taken over with its log
 * and its queue; one that has left the file is deactivated, never deleted. One that has left it while another with the same URL and the same
 * secret came into it was renamed. A changed secret is a rotation.
 */
export async function syncWebhooks(
  { store, box }: WebhookVault,
  configured: readonly ConfiguredWebhook[],
  { overlapMs, before, idOf, record, after }: SyncOptions,
): Promise<Synced> {
  const freed: number[] = [];
  const result = await store.transaction(async (tx) => {
    // Any one row will do: two daemons that start together must not both insert.
    await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
    await before?.(tx);
    const rows = await tx.drizzle
      .select()
      .from(webhooks)
      .where(isNull(webhooks.deletedAt))
      .orderBy(asc(webhooks.id))
      .for('update');
    const synced: Synced = { created: [], updated: [], renamed: [], deactivated: [] };
    const isInFile = (row: WebhookRow): boolean => configured.some(({ name }) => isSameName(row.name, name));
    const leaving = rows.filter((row) => row.managedBy === 'file' && !isInFile(row));
    for (const webhook of configured) {
      const named = rows.filter(({ name }) => isSameName(name, webhook.name));
      const row =
        named.find(({ managedBy }) => managedBy === 'file') ?? named[0] ?? takeRenamed(leaving, webhook, box);
      if (!row) {
        const id = await create(tx, { webhook, box, id: idOf?.(webhook.name) });
        await record?.(tx, { id, kind: 'create', webhook, changed: [] });
        synced.created.push(webhook.name);
        continue;
      }
      const changed = await update(tx, { row, webhook, box, overlapMs });
      if (changed.length === 0) continue;
      if (freesRetries(changed)) freed.push(row.id);
      if (row.name === webhook.name) {
        await record?.(tx, { id: row.id, kind: 'update', webhook, changed });
        synced.updated.push(webhook.name);
      } else {
        await record?.(tx, { id: row.id, kind: 'rename', webhook, changed, from: row.name });
        synced.renamed.push({ from: row.name, to: webhook.name });
      }
    }
    for (const row of leaving) {
      await tx.drizzle
        .update(webhooks)
        .set({ isActive: false, disabledAt: null, disabledReason: null, managedBy: 'database' })
        .where(and(eq(webhooks.id, row.id)));
      const { id, name, url, events } = row;
      await record?.(tx, {
        id,
        kind: 'deactivate',
        webhook: { name, url, events: events as string[] },
        changed: [],
      });
      synced.deactivated.push(name);
    }
    await after?.(tx);
    return synced;
  });
  for (const id of freed) await makeRetriesDue(store, id);
  return result;
}

/** Returns the row, among the rows that leave the file, that this webhook was until now: same URL, same secret. Of several, the one with the same events. */
function takeRenamed(
  leaving: WebhookRow[],
  webhook: ConfiguredWebhook,
  box: SecretBox,
): WebhookRow | undefined {
  const alike = leaving.filter(
    (row) => tryOpenCredentials(row, box).url === webhook.url && opensTo(box, row, webhook.secret),
  );
  const row =
    alike.find(({ events }) => isDeepStrictEqual(events, webhook.events)) ??
    (alike.length === 1 ? alike[0] : undefined);
  if (row) leaving.splice(leaving.indexOf(row), 1);
  return row;
}

async function create(
  tx: Session,
  { webhook, box, id }: { webhook: ConfiguredWebhook; box: SecretBox; id: number | undefined },
): Promise<number> {
  const { name, url, events } = webhook;
  const row = { ...toColumns(webhook), ...(id && { id }), name, url, events, managedBy: 'file' } as const;
  return insertWebhook(tx, row, { box, secret: webhook.secret });
}

interface UpdateInput {
  row: WebhookRow;
  webhook: ConfiguredWebhook;
  box: SecretBox;
  overlapMs: number;
}

/** Returns what changed. */
async function update(tx: Session, { row: stored, webhook, box, overlapMs }: UpdateInput): Promise<string[]> {
  const row = tryOpenCredentials(stored, box);
  const wanted: Partial<WebhookRow> = { ...toColumns(webhook), managedBy: 'file' };
  const moved = row.url !== webhook.url;
  if (moved) Object.assign(wanted, freshStart);
  // A webhook that the engine disabled stays disabled over restarts, until a person enables it or changes its URL.
  else if (row.disabledReason !== null && !row.isActive) delete wanted.isActive;
  const changes = Object.fromEntries(
    Object.entries(wanted).filter(([key, value]) => !isDeepStrictEqual(value, row[key as keyof WebhookRow])),
  );
  if (Object.keys(changes).length > 0) {
    await tx.drizzle
      .update(webhooks)
      .set(sealCredentials(box, row.id, changes))
      .where(eq(webhooks.id, row.id));
  }
  const rotated = !opensTo(box, row, webhook.secret);
  if (rotated) {
    const sealed = box.seal(webhook.secret, secretContext(row.id));
    await replaceSecret(tx, { id: row.id, sealed, overlapMs });
  }
  return [...Object.keys(changes), ...(rotated ? ['secret'] : [])];
}

/** A stored secret that does not open, because its key is gone, is replaced by the file's. */
function opensTo(box: SecretBox, row: WebhookRow, secret: string): boolean {
  try {
    return box.open(row.secret, secretContext(row.id)) === secret;
  } catch {
    return false;
  }
}

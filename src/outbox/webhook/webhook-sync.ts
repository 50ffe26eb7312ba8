import { isDeepStrictEqual } from 'node:util';
import type { Session } from '../../db/connection/client.ts';
import { asc, eq, isNull } from '../../db/schema/drizzle.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { openMarker, type Marker } from '../../db/proof/marks.ts';
import { webhooks } from '../../db/schema/schema.ts';
import { webhookColumns } from '../../db/schema/webhook-columns.ts';
import type { ConfiguredWebhook } from '../../config/types.ts';
import { freesRetries, makeRetriesDue } from '../queue/owed.ts';
import { EndedClaims } from './ended-claims.ts';
import {
  isNamed,
  isNeeded,
  isRefused,
  isSameName,
  writeClaims,
  type Claim,
  type Standing,
} from './file-claims.ts';
import { freshStart, insertWebhook, replaceSecret, toColumns } from './webhook-registry.ts';
import { encryptCredentials, tryDecryptCredentials } from './webhook-credentials.ts';
import { secretContext } from './webhook-row.ts';
import type { WebhookRow } from '../../db/schema/schema.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/** The change of one webhook by a sync. */
export interface SyncedChange {
  id: number;
  kind: 'create' | 'update' | 'rename' | 'deactivate';
  webhook: Pick<ConfiguredWebhook, 'name' | 'url' | 'events'>;
  /** Names of the columns that changed. */
  changed: readonly string[];
  /** Its former name. */
  from?: string;
}

export interface SyncOptions {
  overlapMs: number;
  /** Knows what those daemons claimed that have just ended; without it they count as gone. */
  memory?: EndedClaims;
  /**
   * At the beginning of the transaction of the sync, before the webhooks are read. `isOfOther` says by name which webhooks the file of
   * another running daemon defines, and this one does not.
   */
  before?(tx: Session, isOfOther: (name: string) => boolean): Promise<void>;
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
  /** With their log and their unfinished deliveries. */
  renamed: { from: string; to: string }[];
  /** Removed from the file: inactive, and managed by the database from now on. */
  deactivated: string[];
  /** Their definition in this file is not used, because another running daemon has a different one. */
  refused: string[];
  /** Removed from this file, but active because the file of another running daemon names them. */
  kept: string[];
}

/** The changes of a sync, and the webhooks that it left unchanged because of other daemons. */
export interface SyncResult {
  synced: Synced;
  standing: Standing;
}

/** The digest that daemons compare: it changes with each setting, including the secret, and reveals none of them. */
export function digestOf(marker: Marker, webhook: ConfiguredWebhook): string {
  return marker.digest({ ...toColumns(webhook), secret: webhook.secret });
}

/**
 * Synchronizes the store's webhooks with the file. A webhook of the same name that the database managed is taken over with its log and its queue. A
 * webhook removed from the file is deactivated, never deleted. If another with the same URL and the same secret was added at the same time, it was
 * renamed. A changed secret is a rotation. Definitions of other running daemons are respected: see file-claims.ts.
 */
export async function syncWebhooks(
  { store, cipher, owner }: EncryptedStore & { owner: string },
  configured: readonly ConfiguredWebhook[],
  options: SyncOptions,
): Promise<SyncResult> {
  const { result, freed } = await store.transaction(async (tx) => {
    // Locks one common row, so that two daemons that start together do not both insert.
    await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
    const marker = await openMarker(tx, cipher);
    const { present, ended } = await (options.memory ?? new EndedClaims()).read(tx);
    const others = present.filter((claim) => claim.owner !== owner);
    const naming = [...others, ...ended];
    const wanted = configured.map((webhook): Wanted => {
      const { name } = webhook;
      const digest = digestOf(marker, webhook);
      return { webhook, digest, isRefused: isRefused(others, { name, digest }) };
    });
    await options.before?.(tx, (name) => isNamed(naming, name) && !isUsed(wanted, name));
    const sync = new Sync(tx, { cipher, owner, naming, options });
    const standing = await sync.run(wanted);
    await writeClaims(tx, owner, standing.claims);
    await options.after?.(tx);
    return { result: { synced: sync.synced, standing }, freed: sync.freed };
  });
  for (const id of freed) await makeRetriesDue(store, id);
  return result;
}

/** A webhook of the file. */
interface Wanted {
  webhook: ConfiguredWebhook;
  digest: string;
  /** Another running daemon defines it differently. */
  isRefused: boolean;
}

function isUsed(wanted: readonly Wanted[], name: string): boolean {
  return wanted.some(({ webhook, isRefused }) => !isRefused && isSameName(webhook.name, name));
}

interface SyncParts {
  cipher: Cipher;
  owner: string;
  /** What other daemons claim that run or have just ended. */
  naming: readonly Claim[];
  options: SyncOptions;
}

/** One sync, in its transaction. */
class Sync {
  readonly synced: Synced = {
    ...{ created: [], updated: [], renamed: [], deactivated: [], refused: [], kept: [] },
  };
  /** Ids of webhooks whose retries may now succeed. */
  readonly freed: number[] = [];
  readonly #tx: Session;
  readonly #parts: SyncParts;

  constructor(tx: Session, parts: SyncParts) {
    this.#tx = tx;
    this.#parts = parts;
  }

  async run(wanted: readonly Wanted[]): Promise<Standing> {
    const { owner, naming } = this.#parts;
    const rows = await this.#tx.drizzle
      .select(webhookColumns)
      .from(webhooks)
      .where(isNull(webhooks.deletedAt))
      .orderBy(asc(webhooks.id))
      .for('update');
    const isInFile = (row: WebhookRow): boolean =>
      wanted.some(({ webhook }) => isSameName(row.name, webhook.name));
    const leaving = rows.filter((row) => row.managedBy === 'file' && !isInFile(row));
    const claims: Claim[] = [];
    for (const each of wanted) {
      const { digest, webhook } = each;
      const refusedFor = await this.#take(each, rows, leaving);
      if (refusedFor !== null) this.synced.refused.push(webhook.name);
      claims.push({ owner, name: webhook.name, digest, refusedFor });
    }
    for (const row of leaving) {
      if (isNeeded(naming, row.name)) this.synced.kept.push(row.name);
      else await this.#deactivate(row);
    }
    return { claims, kept: this.synced.kept };
  }

  /** Returns the name of the webhook of another daemon because of which the definition is refused; null where it is used. */
  async #take(
    { webhook, isRefused }: Wanted,
    rows: readonly WebhookRow[],
    leaving: WebhookRow[],
  ): Promise<string | null> {
    const { cipher, naming, options } = this.#parts;
    const named = rows.filter(({ name }) => isSameName(name, webhook.name));
    const present = named.find(({ managedBy }) => managedBy === 'file') ?? named[0];
    if (isRefused) return present?.name ?? webhook.name;
    const row = present ?? findRenamed(leaving, webhook, cipher);
    if (!row) {
      const id = await create(this.#tx, { webhook, cipher, id: options.idOf?.(webhook.name) });
      await options.record?.(this.#tx, { id, kind: 'create', webhook, changed: [] });
      this.synced.created.push(webhook.name);
      return null;
    }
    if (row !== present) {
      if (isNamed(naming, row.name)) return row.name;
      leaving.splice(leaving.indexOf(row), 1);
    }
    await this.#update(row, webhook);
    return null;
  }

  async #update(row: WebhookRow, webhook: ConfiguredWebhook): Promise<void> {
    const { cipher, options } = this.#parts;
    const changed = await update(this.#tx, { row, webhook, cipher, overlapMs: options.overlapMs });
    if (changed.length === 0) return;
    if (freesRetries(changed)) this.freed.push(row.id);
    if (row.name === webhook.name) {
      await options.record?.(this.#tx, { id: row.id, kind: 'update', webhook, changed });
      this.synced.updated.push(webhook.name);
    } else {
      await options.record?.(this.#tx, { id: row.id, kind: 'rename', webhook, changed, from: row.name });
      this.synced.renamed.push({ from: row.name, to: webhook.name });
    }
  }

  async #deactivate({ id, name, url, events }: WebhookRow): Promise<void> {
    await this.#tx.drizzle
      .update(webhooks)
      .set({ isActive: false, disabledAt: null, disabledReason: null, managedBy: 'database' })
      .where(eq(webhooks.id, id));
    await this.#parts.options.record?.(this.#tx, {
      ...{ id, kind: 'deactivate', changed: [] },
      webhook: { name, url, events: events as string[] },
    });
    this.synced.deactivated.push(name);
  }
}

/** Returns the row, among the rows that leave the file, that this webhook was until now: same URL, same secret. If several match, returns the one with the same events. */
function findRenamed(
  leaving: readonly WebhookRow[],
  webhook: ConfiguredWebhook,
  cipher: Cipher,
): WebhookRow | undefined {
  const alike = leaving.filter(
    (row) => tryDecryptCredentials(row, cipher).url === webhook.url && opensTo(cipher, row, webhook.secret),
  );
  return (
    alike.find(({ events }) => isDeepStrictEqual(events, webhook.events)) ??
    (alike.length === 1 ? alike[0] : undefined)
  );
}

async function create(
  tx: Session,
  { webhook, cipher, id }: { webhook: ConfiguredWebhook; cipher: Cipher; id: number | undefined },
): Promise<number> {
  const { name, url, events } = webhook;
  const row = { ...toColumns(webhook), ...(id && { id }), name, url, events, managedBy: 'file' } as const;
  return insertWebhook(tx, row, { cipher, secret: webhook.secret });
}

interface UpdateInput {
  row: WebhookRow;
  webhook: ConfiguredWebhook;
  cipher: Cipher;
  overlapMs: number;
}

/** Returns what changed. */
async function update(
  tx: Session,
  { row: stored, webhook, cipher, overlapMs }: UpdateInput,
): Promise<string[]> {
  const row = tryDecryptCredentials(stored, cipher);
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
      .set(encryptCredentials(cipher, row.id, changes))
      .where(eq(webhooks.id, row.id));
  }
  const rotated = !opensTo(cipher, row, webhook.secret);
  if (rotated) {
    const encrypted = cipher.encrypt(webhook.secret, secretContext(row.id));
    await replaceSecret(tx, { id: row.id, encrypted, overlapMs });
  }
  return [...Object.keys(changes), ...(rotated ? ['secret'] : [])];
}

/** A stored secret that does not open, because its key is gone, is replaced by the file's. */
function opensTo(cipher: Cipher, row: WebhookRow, secret: string): boolean {
  try {
    return cipher.decrypt(row.secret, secretContext(row.id)) === secret;
  } catch {
    return false;
  }
}

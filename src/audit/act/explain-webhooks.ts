import type { Session } from '../../db/connection/client.ts';
import { asc, eq } from '../../db/schema/drizzle.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { openMarker, type Marker } from '../../db/proof/marks.ts';
import { webhooks } from '../../db/schema/schema.ts';
import { webhookColumns } from '../../db/schema/webhook-columns.ts';
import { AppError } from '../../lib/errors.ts';
import { file, recordWebhookAct, sql as sqlActor, writeAct } from './record-act.ts';
import { differences, readRecordedStates, toWebhookState, type WebhookState } from './webhook-state.ts';

/** A webhook that SQL created, changed or deleted. */
export interface SqlChange {
  id: number;
  name: string;
  kind: 'create' | 'update' | 'delete';
  /** Names of the settings that differ. */
  changed: readonly string[];
  /** Whether the configuration file manages it: if so, it is restored. */
  isOfFile: boolean;
}

/**
 * Records what SQL did to webhooks: each row that differs from its last recorded act becomes an act of `sql`, with the old and the new
 * values (secrets, filters and headers by name only). For a webhook of the file, also restores its manager, its name and whether it is
 * active, so that the file's sync in the same transaction finds it and restores the rest. Skips webhooks that only the file of another
 * running daemon defines (`isOfOther`, by name), because this daemon could not restore the rest. Returns the changes that it found.
 */
export async function explainWebhooks(
  tx: Session,
  cipher: Cipher,
  isOfOther: (name: string) => boolean = () => false,
): Promise<SqlChange[]> {
  const marker = await openMarker(tx, cipher);
  const suspects = await findChanged(tx, { cipher, marker });
  if (suspects.length === 0) return [];
  // Writers of webhooks lock the row that they change, and write the act in the same transaction.
  await tx.rows('SELECT id FROM webhooks FOR UPDATE');
  const changes: SqlChange[] = [];
  for (const id of suspects) {
    const change = await explain(tx, { cipher, marker, isOfOther }, id);
    if (change) changes.push(change);
  }
  return changes;
}

/** Whether `explainWebhooks` would record anything. */
export async function areWebhooksEdited(session: Session, cipher: Cipher): Promise<boolean> {
  const marker = await openMarker(session, cipher);
  return (await findChanged(session, { cipher, marker })).length > 0;
}

/**
 * Records what SQL did to one webhook before another change is made to it: the act of that change would otherwise include the edit. The
 * caller holds the lock of the row. Throws AppError ERR_CONFLICT for a webhook of the file, which the daemon restores first.
 */
export async function explainWebhook(tx: Session, cipher: Cipher, id: number): Promise<void> {
  const change = await explain(tx, { cipher, marker: await openMarker(tx, cipher) }, id);
  if (change?.isOfFile !== true) return;
  throw new AppError('ERR_CONFLICT', `the webhook ${id} of the configuration file was changed by SQL`, {
    remedy: 'The running daemon puts it back within 2 s, and a stopped one at its start: try again then.',
    retryable: true,
  });
}

interface Opened {
  cipher: Cipher;
  marker: Marker;
  isOfOther?(name: string): boolean;
}

async function findChanged(session: Session, opened: Opened): Promise<number[]> {
  const rows = await session.drizzle.select(webhookColumns).from(webhooks).orderBy(asc(webhooks.id));
  const recorded = await readRecordedStates(session, opened.marker);
  const changed = rows
    .filter((row) => differences(recorded.get(row.id) ?? null, toWebhookState(row, opened)).length > 0)
    .map(({ id }) => id);
  const ids = new Set(rows.map(({ id }) => id));
  const gone = [...recorded].filter(([id, state]) => state !== null && !ids.has(id)).map(([id]) => id);
  return [...changed, ...gone];
}

async function explain(tx: Session, opened: Opened, id: number): Promise<SqlChange | undefined> {
  const [row] = await tx.drizzle.select(webhookColumns).from(webhooks).where(eq(webhooks.id, id));
  const before = (await readRecordedStates(tx, opened.marker, id)).get(id) ?? null;
  const after = row ? toWebhookState(row, opened) : null;
  const changed = differences(before, after);
  if (changed.length === 0) return undefined;
  const isOfFile = before?.managed_by === 'file';
  if (isOfFile && opened.isOfOther?.(before.name) === true) return undefined;
  const kind = before === null ? 'create' : after === null ? 'delete' : 'update';
  const pick = (state: WebhookState | null): Record<string, unknown> | null =>
    state && Object.fromEntries(changed.map((name) => [name, state[name as keyof WebhookState] ?? null]));
  const details =
    kind === 'update'
      ? { changed, old: pick(before), new: pick(after), state: after }
      : { old: before, state: after };
  await writeAct(tx, opened.marker, {
    actor: sqlActor,
    action: `webhook.${kind}`,
    target: String(id),
    details,
  });
  if (isOfFile && after !== null) await putBack(tx, id, before);
  return { id, name: (after ?? before)!.name, kind, changed, isOfFile };
}

/** Restores the columns by which the sync of the file finds the webhook. */
async function putBack(tx: Session, id: number, before: WebhookState): Promise<void> {
  const moment = (iso: string | null): Date | null => (iso === null ? null : new Date(iso));
  await tx.drizzle
    .update(webhooks)
    .set({
      name: before.name,
      managedBy: 'file',
      isActive: before.is_active,
      pausedAt: moment(before.paused_at ?? null),
      ...(before.missed_from !== undefined && {
        missedFrom: before.missed_from,
        missedTo: before.missed_to ?? null,
      }),
      createdAt: new Date(before.created_at),
      disabledAt: moment(before.disabled_at),
      disabledReason: before.disabled_reason,
      deletedAt: moment(before.deleted_at),
    })
    .where(eq(webhooks.id, id));
}

/** Records what was restored besides the settings in the file: otherwise the next check would find the webhook changed again. */
export async function recordPutBack(
  tx: Session,
  cipher: Cipher,
  changes: readonly SqlChange[],
): Promise<void> {
  for (const { id, changed } of changes.filter(({ isOfFile, kind }) => isOfFile && kind !== 'delete')) {
    // The secret that SQL wrote must not be used for signing alongside the file's secret.
    if (changed.includes('secret') || changed.includes('rotation_ends_at')) {
      await tx.run(
        'UPDATE webhooks SET previous_secret = NULL, previous_secret_expires_at = NULL WHERE id = ?',
        [id],
      );
    }
    await recordWebhookAct(tx, cipher, id, { actor: file, action: 'webhook.put-back' });
  }
}

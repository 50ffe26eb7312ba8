import type { Session } from '../../db/connection/client.ts';
import { asc, eq } from '../../db/schema/drizzle.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { openMarker, type Marker } from '../../db/proof/marks.ts';
import { webhooks } from '../../db/schema/schema.ts';
import { webhookColumns } from '../../db/schema/webhook-columns.ts';
import { AppError } from '../../lib/errors.ts';
import { file, recordWebhookAct, sql as sqlActor, writeAct } from './record-act.ts';
import { differences, readRecordedStates, toWebhookState, type WebhookState } from './webhook-state.ts';

/** A webhook that SQL made, changed or took away. */
export interface SqlChange {
  id: number;
  name: string;
  kind: 'create' | 'update' | 'delete';
  /** Names of the settings that differ. */
  changed: readonly string[];
  /** Whether the configuration file manages it: then it is put back. */
  isOfFile: boolean;
}

/**
 * Puts on record what SQL did to webhooks: rows that are not as the last act on record left them become acts of `sql`, with the old and
 * the new values (secrets, filters and headers by name alone). Of a webhook of the file it takes back who manages it, what it is called and
 * whether it is active, by which the file's sync in the same transaction finds it and puts back the rest. Webhooks that only the file of
 * another running daemon defines (`isOfOther`, by name) are left to that daemon: this one could not put back the rest. Returns what it
 * found.
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

/** Whether there is something that `explainWebhooks` would put on record. */
export async function areWebhooksEdited(session: Session, cipher: Cipher): Promise<boolean> {
  const marker = await openMarker(session, cipher);
  return (await findChanged(session, { cipher, marker })).length > 0;
}

/**
 * Puts on record what SQL did to one webhook, before something else is done to it: the act of that would take the edit for its own.
 * The caller holds the lock of its row. Throws AppError ERR_CONFLICT for a webhook of the file, which the daemon puts back first.
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

/** By these the sync of the file finds the webhook again. */
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

/** What was put back beside what the file says, on record: without it, the next look would find it changed again. */
export async function recordPutBack(
  tx: Session,
  cipher: Cipher,
  changes: readonly SqlChange[],
): Promise<void> {
  for (const { id, changed } of changes.filter(({ isOfFile, kind }) => isOfFile && kind !== 'delete')) {
    // The secret that SQL put there must not sign beside the file's.
    if (changed.includes('secret') || changed.includes('rotation_ends_at')) {
      await tx.run(
        'UPDATE webhooks SET previous_secret = NULL, previous_secret_expires_at = NULL WHERE id = ?',
        [id],
      );
    }
    await recordWebhookAct(tx, cipher, id, { actor: file, action: 'webhook.put-back' });
  }
}

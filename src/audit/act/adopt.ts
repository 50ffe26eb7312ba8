import type { Session, Store } from '../../db/connection/client.ts';
import { asc } from '../../db/schema/drizzle.ts';
import type { SecretBox } from '../../crypto/encryption.ts';
import { parseStored } from '../../db/proof/stored-json.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import { openMarker } from '../../db/proof/marks.ts';
import { webhooks } from '../../db/schema/schema.ts';
import { encryptAction, encryptedAction, eraseAction } from '../../outbox/payload/payload-acts.ts';
import { engine, writeAct } from './record-act.ts';
import { readRecordedStates, toWebhookState } from './webhook-state.ts';

const adoptAction = 'store.adopt';

/**
 * Takes over what a store holds that acts of version f84be48 do not explain, once, before the first seal of version 2: the settings of
 * webhooks, erasures, destroyed keys, payloads from before encryption. From then on only acts explain them.
 */
export async function adoptStore(tx: Session, box: SecretBox): Promise<void> {
  const marker = await openMarker(tx, box);
  if ((await readMarkedActs(tx, marker, { action: adoptAction, newest: 1 })).length > 0) return;
  const known = await readRecordedStates(tx, marker);
  const rows = await tx.drizzle.select().from(webhooks).orderBy(asc(webhooks.id));
  for (const row of rows.filter(({ id }) => !known.has(id))) {
    const details = { state: toWebhookState(row, { box, marker }) };
    await writeAct(tx, marker, { actor: engine, action: 'webhook.adopt', target: String(row.id), details });
  }
  const erasures = await tx.rows<{ id: number; at: string; target: string; details: string }>(
    'SELECT id, at, target, details FROM audit_log WHERE action = ? AND mark IS NULL ORDER BY id',
    [eraseAction],
  );
  for (const { id, at, target, details: text } of erasures) {
    const details = { ...(parseStored('audit_log.details', text, id) as object), adopted: { act: id, at } };
    await writeAct(tx, marker, { actor: engine, action: eraseAction, target, details });
  }
  const keys = await tx.rows<{ file: string; slot: string }>(
    'SELECT key_file AS file, slot FROM destroyed_keys ORDER BY key_file, slot',
  );
  const [row] = await tx.rows<{ prunedTo: number; waived: string | null }>(
    'SELECT COALESCE((SELECT payloads_pruned_to FROM installation WHERE id = 1), 0) AS prunedTo, waived FROM checkpoint WHERE id = 1',
  );
  const waived = row?.waived == null ? [] : (parseStored('checkpoint.waived', row.waived, 1) as string[]);
  if (box.forPatients.encrypts) await beginEncryptionWithin(tx, box);
  const details = { keys, pruned_to: row?.prunedTo ?? 0, waived };
  await writeAct(tx, marker, { actor: engine, action: adoptAction, details });
}

/** `adoptStore` in a transaction of its own, where there is no seal of version 2 yet. */
export async function adoptBeforeSealing(store: Store, box: SecretBox): Promise<void> {
  await openMarker(store, box);
  await store.transaction(async (tx) => {
    await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
    const sealed = await tx.rows('SELECT 1 FROM seals WHERE version = 2 LIMIT 1');
    if (sealed.length === 0) await adoptStore(tx, box);
  });
}

/**
 * Puts on record that payloads are encrypted from here on, at the first start with a key: existing ones may be in clear text
 * until the background has encrypted them. Where payloads have been encrypted before, none may.
 */
export async function beginEncryption(store: Store, box: SecretBox): Promise<void> {
  if (!box.forPatients.encrypts) return;
  await store.transaction(async (tx) => {
    await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
    const encrypted = await tx.rows(
      "SELECT 1 FROM audit_log WHERE action LIKE 'payloads.encrypt%' UNION ALL SELECT 1 FROM subject_keys WHERE payload_key IS NOT NULL LIMIT 1",
    );
    if (encrypted.length === 0) await beginEncryptionWithin(tx, box);
  });
}

async function beginEncryptionWithin(tx: Session, box: SecretBox): Promise<void> {
  const marker = await openMarker(tx, box);
  const [last] = await tx.rows<{ seq: number }>('SELECT COALESCE(MAX(seq), 0) AS seq FROM event_log');
  const details = { clear_to: last!.seq };
  await writeAct(tx, marker, { actor: engine, action: encryptAction, details });
}

/** Puts on record that no payload is in clear text any more. */
export async function endEncryption(store: Store, box: SecretBox): Promise<void> {
  const marker = await openMarker(store, box);
  await writeAct(store, marker, { actor: engine, action: encryptedAction });
}

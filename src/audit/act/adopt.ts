import type { Session, Store } from '../../db/connection/client.ts';
import { asc } from '../../db/schema/drizzle.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { parseStored } from '../../db/proof/stored-json.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import { openMarker, type Marker } from '../../db/proof/marks.ts';
import { readSealState, signBegun, stageOf } from '../../db/proof/seal-key.ts';
import { webhooks } from '../../db/schema/schema.ts';
import { webhookColumns } from '../../db/schema/webhook-columns.ts';
import { encryptAction, encryptedAction, eraseAction } from '../../outbox/payload/payload-acts.ts';
import type { KeySlot } from '../../outbox/payload/subject-keys.ts';
import { beginMarks } from './begin-marks.ts';
import type { AcceptedEntries } from '../seal/accepted-entries.ts';
import { engine, writeAct } from './record-act.ts';
import { readReplayStates } from './replay-acts.ts';
import { readRecordedStates, toWebhookState } from './webhook-state.ts';

const adoptAction = 'store.adopt';

/**
 * The former log from which a store is taken over: a log of version f84be48, whose rows have no marks; an empty log; or a log whose key is
 * lost, where an administrator accepted the rows up to `to`.
 */
export type FormerLog = { kind: 'old' } | { kind: 'empty' } | { kind: 'lost'; to: AcceptedEntries };

/**
 * Takes over the rows of a store that no act of the present log explains, once, before its first seal of version 2: the settings of
 * webhooks, and from a former log erasures, destroyed keys, replays and payloads from before encryption. From then on only acts explain
 * them.
 */
export async function adoptStore(tx: Session, cipher: Cipher, from: FormerLog): Promise<void> {
  const marker = await openMarker(tx, cipher);
  if ((await readMarkedActs(tx, marker, { action: adoptAction, newest: 1 })).length > 0) return;
  const known = await readRecordedStates(tx, marker);
  const rows = await tx.drizzle.select(webhookColumns).from(webhooks).orderBy(asc(webhooks.id));
  for (const row of rows.filter(({ id }) => !known.has(id))) {
    const details = { state: toWebhookState(row, { cipher, marker }) };
    await writeAct(tx, marker, { actor: engine, action: 'webhook.adopt', target: String(row.id), details });
  }
  await adoptErasures(tx, marker, from);
  if (from.kind !== 'empty') await adoptReplays(tx, marker);
  if (cipher.forPatients.encrypts) await beginEncryptionWithin(tx, cipher);
  const details = from.kind === 'empty' ? {} : await readCursors(tx, cipher, from);
  await writeAct(tx, marker, { actor: engine, action: adoptAction, details });
}

/** Takes over erasures that no mark proves. Erasures of a lost log destroy no key, because SQL may have written them. */
async function adoptErasures(tx: Session, marker: Marker, from: FormerLog): Promise<void> {
  if (from.kind === 'empty') return;
  const [which, values] = from.kind === 'old' ? ['mark IS NULL', []] : ['id <= ?', [from.to.audit_log]];
  const erasures = await tx.rows<{ id: number; at: string; target: string; details: string }>(
    `SELECT id, at, target, details FROM audit_log WHERE action = ? AND ${which} ORDER BY id`,
    [eraseAction, ...values],
  );
  for (const { id, at, target, details: text } of erasures) {
    const details = {
      ...(parseStored('audit_log.details', text, id) as object),
      ...(from.kind === 'lost' && { keys: [] }),
      adopted: { act: id, at },
    };
    await writeAct(tx, marker, { actor: engine, action: eraseAction, target, details });
  }
}

async function adoptReplays(tx: Session, marker: Marker): Promise<void> {
  const replays = await readReplayStates(tx, { after: 0, limit: Number.MAX_SAFE_INTEGER });
  for (const { id: replay, state: row } of replays) {
    const target = String(row['webhook_id']);
    await writeAct(tx, marker, { actor: engine, action: 'replay.create', target, details: { replay, row } });
    if (row['state'] === 'running') continue;
    await writeAct(tx, marker, {
      actor: engine,
      action: 'replay.end',
      target: String(replay),
      details: { row },
    });
  }
}

/** From a lost log, only keys that the key file no longer holds are taken over. */
async function readCursors(
  tx: Session,
  { forPatients: { keyFile } }: Cipher,
  from: FormerLog,
): Promise<Readonly<Record<string, unknown>>> {
  const keys = await tx.rows<KeySlot>(
    'SELECT key_file AS file, slot FROM destroyed_keys ORDER BY key_file, slot',
  );
  const isThere = ({ file, slot }: KeySlot): boolean => keyFile?.id === file && keyFile.has(slot);
  const [row] = await tx.rows<{ prunedTo: number; waived: string | null }>(
    'SELECT COALESCE((SELECT payloads_pruned_to FROM installation WHERE id = 1), 0) AS prunedTo, waived FROM checkpoint WHERE id = 1',
  );
  const waived = row?.waived == null ? [] : (parseStored('checkpoint.waived', row.waived, 1) as string[]);
  return {
    keys: from.kind === 'lost' ? keys.filter((key) => !isThere(key)) : keys,
    pruned_to: row?.prunedTo ?? 0,
    waived,
  };
}

/**
 * Runs `adoptStore` in its own transaction, if there is no seal of version 2 yet. Throws AppError ERR_AUDIT if the signing key is gone from
 * a store that was used.
 */
export async function adoptBeforeSealing(store: Store, cipher: Cipher): Promise<void> {
  await openMarker(store, cipher);
  await store.transaction(async (tx) => {
    await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
    const state = (await readSealState(tx))!;
    const sealed = await tx.rows('SELECT 1 FROM seals WHERE version = 2 LIMIT 1');
    const stage = stageOf(state);
    await beginMarks(tx, state, cipher);
    // Sealing reports any other stage.
    if (sealed.length > 0) await signBegun(tx, state, cipher);
    else if (stage === 'old' || stage === 'empty') await adoptStore(tx, cipher, { kind: stage });
  });
}

/**
 * Records that payloads are encrypted from here on, at the first start with a key: existing payloads may be in clear text until the
 * background task has encrypted them. If payloads were encrypted before, none may be in clear text and nothing is recorded.
 */
export async function beginEncryption(store: Store, cipher: Cipher): Promise<void> {
  if (!cipher.forPatients.encrypts) return;
  await store.transaction(async (tx) => {
    await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
    const encrypted = await tx.rows(
      "SELECT 1 FROM audit_log WHERE action LIKE 'payloads.encrypt%' UNION ALL SELECT 1 FROM subject_keys WHERE payload_key IS NOT NULL LIMIT 1",
    );
    if (encrypted.length === 0) await beginEncryptionWithin(tx, cipher);
  });
}

async function beginEncryptionWithin(tx: Session, cipher: Cipher): Promise<void> {
  const marker = await openMarker(tx, cipher);
  const [last] = await tx.rows<{ seq: number }>('SELECT COALESCE(MAX(seq), 0) AS seq FROM event_log');
  const details = { clear_to: last!.seq };
  await writeAct(tx, marker, { actor: engine, action: encryptAction, details });
}

/** Records that no payload is in clear text any more. */
export async function endEncryption(store: Store, cipher: Cipher): Promise<void> {
  const marker = await openMarker(store, cipher);
  await writeAct(store, marker, { actor: engine, action: encryptedAction });
}

import { asc } from '../../../db/schema/drizzle.ts';
import { parseStored } from '../../../db/proof/stored-json.ts';
import { readMarkedActs } from '../../../db/proof/marked-acts.ts';
import type { Marker } from '../../../db/proof/marks.ts';
import { webhooks } from '../../../db/schema/schema.ts';
import { webhookColumns } from '../../../db/schema/webhook-columns.ts';
import type { SealState } from '../../../db/proof/seal-key.ts';
import { readCaptureState } from '../../../outbox/checkpoint.ts';
import { isPositionProved } from '../../../outbox/checkpoint-mark.ts';
import { fromSqlDatetime } from '../../../outbox/sql-datetime.ts';
import type { KeySlot } from '../../../outbox/payload/subject-keys.ts';
import { findUnaccepted } from '../../act/accepted-transactions.ts';
import { anchorSeal } from '../../seal/chain.ts';
import { dropAction } from '../../seal/drop-seals.ts';
import type { Excuses } from '../excuses.ts';
import { fail } from '../flaw.ts';
import {
  readReplayRecords,
  readReplayStates,
  replayDifferences,
  type ReplayRecords,
} from '../../act/replay-acts.ts';
import { differences, readRecordedStates, toWebhookState } from '../../act/webhook-state.ts';
import type { EncryptedStore } from '../../../db/connection/encrypted-store.ts';

export interface ActCheck {
  vault: EncryptedStore;
  marker: Marker;
  excuses: Excuses;
  replays: ReplayRecords;
}

/** Compares the contents of the store outside the log with the acts that explain them. */
export async function checkActs(check: ActCheck, state: SealState): Promise<void> {
  await checkCopies(check);
  await checkWebhooks(check);
  await checkReplays(check);
  await checkKeys(check);
  await checkCursors(check);
  await checkPosition(check);
  await checkDropped(check, state);
}

/** The index refuses two acts with one mark; without it there could be copies. */
async function checkCopies({ vault: { store } }: ActCheck): Promise<void> {
  const [copy] = await store.rows<{ id: number }>(
    'SELECT MAX(id) AS id FROM audit_log WHERE mark IS NOT NULL GROUP BY mark HAVING COUNT(*) > 1 LIMIT 1',
  );
  if (copy)
    fail('inserted', { message: `act ${copy.id} is a copy of another`, log: 'audit_log', entryId: copy.id });
}

interface WebhookFlaw {
  id: number;
  fields: string[];
  isThere: boolean;
}

async function checkWebhooks(check: ActCheck): Promise<void> {
  const found = await findWebhookFlaw(check);
  if (!found) return;
  // Checked twice, because the rows and the acts are read one after the other.
  const again = await findWebhookFlaw(check);
  if (!again) return;
  const { id, fields, isThere } = again;
  const what = !isThere
    ? `webhook ${id} was deleted from the table, and no act on record did it`
    : fields[0] === 'row'
      ? `webhook ${id} was made, and no act on record did it`
      : `webhook ${id}: ${fields.join(', ')} is not what the last act on record left`;
  fail(isThere ? 'unexplained' : 'deleted', {
    message: what,
    fields: fields.filter((name) => name !== 'row'),
  });
}

async function findWebhookFlaw({
  vault: { store, cipher },
  marker,
}: ActCheck): Promise<WebhookFlaw | undefined> {
  const rows = await store.drizzle.select(webhookColumns).from(webhooks).orderBy(asc(webhooks.id));
  const recorded = await readRecordedStates(store, marker);
  for (const row of rows) {
    const fields = differences(recorded.get(row.id) ?? null, toWebhookState(row, { cipher, marker }));
    if (fields.length > 0) return { id: row.id, fields, isThere: true };
  }
  const ids = new Set(rows.map(({ id }) => id));
  const gone = [...recorded].find(([id, state]) => state !== null && !ids.has(id));
  return gone && { id: gone[0], fields: ['row'], isThere: false };
}

const replaysAtOnce = 500;

async function checkReplays({ vault: { store }, marker, replays }: ActCheck): Promise<void> {
  const missing = new Set(replays.created.keys());
  for (let after = Number.MIN_SAFE_INTEGER; ;) {
    const rows = await readReplayStates(store, { after, limit: replaysAtOnce });
    for (const { id, state } of rows) {
      missing.delete(id);
      if (replayDifferences(id, state, replays).length === 0) continue;
      // The replay may have been created or ended since the acts were read.
      const fields = replayDifferences(id, state, await readReplayRecords(store, marker));
      if (fields.length === 0) continue;
      const message =
        fields[0] === 'row'
          ? `replay ${id} was made, and no act on record did it`
          : `replay ${id}: ${fields.join(', ')} is not what the acts on record say`;
      fail('unexplained', { message, fields: fields.filter((name) => name !== 'row') });
    }
    const last = rows.at(-1);
    if (!last || rows.length < replaysAtOnce) break;
    after = last.id;
  }
  const [gone] = missing;
  if (gone !== undefined) fail('deleted', { message: `replay ${gone} was deleted` });
}

async function checkKeys({ vault: { store }, marker }: ActCheck): Promise<void> {
  const rows = await store.rows<KeySlot>(
    'SELECT key_file AS file, slot FROM destroyed_keys ORDER BY key_file, slot',
  );
  if (rows.length === 0) return;
  const acts = [
    ...(await readMarkedActs(store, marker, { action: 'patient.erase' })),
    ...(await readMarkedActs(store, marker, { action: 'store.adopt' })),
  ];
  const named = new Set(
    acts.flatMap(({ details }) =>
      ((details?.['keys'] ?? []) as KeySlot[]).map(({ file, slot }) => `${file} ${slot}`),
    ),
  );
  const wrong = rows.find(({ file, slot }) => !named.has(`${file} ${slot}`));
  if (wrong)
    fail('unexplained', {
      message: `destroyed_keys names the key ${wrong.slot} of the key file ${wrong.file}, and no erasure on record gave it up`,
    });
}

/** Checks cursors and exceptions of the engine that only acts may have moved. */
async function checkCursors({ vault: { store }, marker, excuses }: ActCheck): Promise<void> {
  const [row] = await store.rows<{
    prunedTo: number;
    waived: string | null;
    eventSeq: number;
    lastEvent: number | null;
  }>(
    `SELECT COALESCE((SELECT payloads_pruned_to FROM installation WHERE id = 1), 0) AS prunedTo, waived,
       next_event_seq AS eventSeq, (SELECT MAX(seq) FROM event_log) AS lastEvent FROM checkpoint WHERE id = 1`,
  );
  if (!row) fail('deleted', { message: 'the row of the table checkpoint was deleted' });
  if (row.prunedTo > excuses.prunedTo) {
    fail('unexplained', {
      message: 'installation: payloads_pruned_to is beyond what retention has decided on record',
      fields: ['payloads_pruned_to'],
    });
  }
  if ((row.lastEvent ?? 0) >= row.eventSeq) {
    fail('inserted', {
      message: `event ${row.lastEvent} was inserted: its number has not been given out`,
      ...{ log: 'event_log', entryId: row.lastEvent },
    });
  }
  const waived = row.waived === null ? [] : (parseStored('checkpoint.waived', row.waived, 1) as string[]);
  const [wrong] = await findUnaccepted(store, marker, waived);
  if (wrong !== undefined) {
    fail('unexplained', {
      message: `checkpoint: waived names the transaction ${wrong}, which no act on record gave up`,
      fields: ['waived'],
    });
  }
}

/** At another position, capture loses changes or sends them again. A running daemon overwrites it with its own position. */
async function checkPosition({ vault: { store, cipher } }: ActCheck): Promise<void> {
  if (await isPositionProved(store, cipher, await readCaptureState(store))) return;
  fail('edited', {
    message:
      'checkpoint: the position of capture was not written by odontology-webhooks under the key of this installation: SQL moved it. ' +
      'Changes may be lost, or sent again (remedy: odontology-webhooks resume shows where capture stands, and accepts it on record)',
    fields: ['position'],
  });
}

/** Retention may have dropped the beginning of the chain: on record, and only seals that were old enough then. */
async function checkDropped({ vault: { store }, marker }: ActCheck, state: SealState): Promise<void> {
  const anchor = anchorSeal(state);
  if (!anchor) return;
  const acts = await readMarkedActs(store, marker, { action: dropAction, newest: 1 });
  const act = acts.find(
    ({ details }) => details?.['to'] === anchor.number && details['hash'] === anchor.hash,
  );
  if (!act) {
    fail('unexplained', {
      message: `the chain begins after seal ${anchor.number}, and no act on record dropped what was before`,
      seal: anchor.number,
    });
  }
  const ageMs = fromSqlDatetime(act.at) - fromSqlDatetime(anchor.sealedAt);
  if (ageMs < Number(act.details?.['retention_ms'])) {
    fail('deleted', {
      message: `seal ${anchor.number} was dropped by retention before its time (act ${act.id})`,
      seal: anchor.number,
    });
  }
}

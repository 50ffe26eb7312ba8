import { isDeepStrictEqual } from 'node:util';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import type { Session } from '../../db/connection/client.ts';
import { parseStored } from '../../db/proof/stored-json.ts';
import { fromSqlDatetime } from '../../outbox/sql-datetime.ts';
import { eraseAction } from '../../outbox/payload/payload-acts.ts';
import { storedKey } from '../../outbox/append/lane.ts';
import type { DeliveryFilter, DeliveryRecord } from '../deliveries.ts';
import { recordAct, type Actor } from './record-act.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/** A list that names no patient is recorded once in this time for each reader and filter, because a page asks again every few seconds. */
const listedAgainAfterMinutes = 10;

/**
 * Records that deliveries were listed or exported, before they are read. A list by patient, or by a row that is about patients, is recorded
 * as a `patient.access` of each of these patients, every time. Any other list is recorded as a `delivery.list`, because it shows patient
 * numbers too.
 */
export async function recordListing(
  { store, cipher }: EncryptedStore,
  actor: Actor,
  filter: DeliveryFilter,
): Promise<void> {
  const { patient, entity, ...rest } = filter;
  const details = { list: toDetails({ ...rest, ...(entity && { entity }) }) };
  const patients = patient === undefined ? await patientsOf(store, entity) : [storedKey(patient)];
  for (const target of patients)
    await recordAct(store, cipher, { actor, action: 'patient.access', target, details });
  if (patients.length > 0 || (await wasListed(store, actor, details))) return;
  await recordAct(store, cipher, { actor, action: 'delivery.list', details });
}

/** Records that one delivery was read with its payload. */
export async function recordReading(
  { store, cipher }: EncryptedStore,
  actor: Actor,
  { id, patient }: Pick<DeliveryRecord, 'id' | 'patient'>,
): Promise<void> {
  const details = patient === null ? {} : { details: { patient } };
  await recordAct(store, cipher, { actor, action: 'delivery.read', target: String(id), ...details });
}

/** Records that a dry run of rules shows data, and of which patients. */
export async function recordDryRun(
  { store, cipher }: EncryptedStore,
  actor: Actor,
  { patients, sinceMs }: { patients: ReadonlySet<string>; sinceMs: number },
): Promise<void> {
  const details = { dry_run: { since: new Date(sinceMs).toISOString() } };
  await recordAct(store, cipher, { actor, action: 'event.read', details });
  for (const patient of patients)
    await recordAct(store, cipher, { actor, action: 'patient.access', target: storedKey(patient), details });
}

/** Returns the time of the last erasure of each patient: it covers everything committed before it. */
export async function readErasureMoments({ store, cipher }: EncryptedStore): Promise<Map<string, number>> {
  const acts = await readMarkedActs(store, cipher, { action: eraseAction });
  return new Map(acts.map(({ target, at }) => [target!, fromSqlDatetime(at)]));
}

/** The filter in the form that acts record. */
function toDetails({ sinceMs, untilMs, entity, ...words }: DeliveryFilter): Record<string, unknown> {
  return {
    ...words,
    ...(entity && { entity: `${entity.table}:${entity.key}` }),
    ...(sinceMs !== undefined && { since: new Date(sinceMs).toISOString() }),
    ...(untilMs !== undefined && { until: new Date(untilMs).toISOString() }),
  };
}

/** Returns the patients of the events of one row. */
async function patientsOf(session: Session, entity: DeliveryFilter['entity']): Promise<string[]> {
  if (entity === undefined) return [];
  const rows = await session.rows<{ subject: string }>(
    'SELECT DISTINCT subject FROM event_log WHERE entity_table = ? AND entity_key = ? AND subject IS NOT NULL',
    [entity.table, storedKey(entity.key)],
  );
  return rows.map(({ subject }) => subject);
}

async function wasListed(session: Session, { name, role }: Actor, details: object): Promise<boolean> {
  const rows = await session.rows<{ id: number; details: string }>(
    `SELECT id, details FROM audit_log WHERE at > UTC_TIMESTAMP(3) - INTERVAL ? MINUTE
       AND action = 'delivery.list' AND actor = ? AND role = ?`,
    [listedAgainAfterMinutes, name, role],
  );
  return rows.some(({ id, details: text }) =>
    isDeepStrictEqual(parseStored('audit_log.details', text, id), details),
  );
}

import type { HmacKey } from '../../crypto/sha256.ts';
import { textOf, type OpenedPayload } from '../../outbox/payload/payloads.ts';
import { subjectOf } from '../../outbox/payload/subject-keys.ts';
import { monotonicMs, sleep } from '../../lib/clock.ts';
import { contentHash, readEntries, valueOf, type Entry, type SealedLog } from '../seal/entry.ts';
import { fail, nameOf, whenOf, type Place } from './flaw.ts';
import type { ReadChunk, SealedLeaf } from './read-chunks.ts';
import type { SealWalk } from './seal-walk.ts';

const contentFields: Readonly<Record<SealedLog, string>> = {
  attempts: 'response_body',
  event_log: 'body',
  delivery_log: 'payload',
  audit_log: '',
};

/** Compares payloads and response bodies with their sealed hashes; a missing one needs an act that explains it. */
export async function compareContents(
  walk: SealWalk,
  { log, leaves, contents, keys }: ReadChunk,
  byId: ReadonlyMap<number, Entry>,
): Promise<void> {
  if (log === 'audit_log') return;
  for (const leaf of leaves) {
    const row = byId.get(leaf.id)!;
    if (
      (log !== 'event_log' && row.content === null && leaf.content === null) ||
      (log === 'attempts' && !row.keepsContent)
    )
      continue;
    const payload = contents.get(row.id);
    const salt = keys.get(subjectOf(row.subject))?.salt;
    const content = { log, leaf, row, payload, salt };
    const found = isProved(content) ? 'proved' : await explain(walk, content);
    if (log === 'event_log') walk.result.payloads[found] += 1;
  }
}

interface Content {
  log: SealedLog;
  leaf: SealedLeaf;
  row: Entry;
  payload: OpenedPayload | undefined;
  salt: HmacKey | undefined;
}

function isProved({ log, leaf, row, payload, salt }: Content): boolean {
  const text = textOf(payload);
  return text !== null && leaf.content !== null && salt !== undefined
    ? contentHash(log, row.id, text, salt).equals(leaf.content)
    : false;
}

/** Returns why a content differs from the sealed one; fails if no act explains it. */
async function explain(walk: SealWalk, content: Content): Promise<'pruned' | 'erased'> {
  const { excuses, nowMs } = walk;
  const { log, leaf, row } = content;
  const eventSeq = row.eventSeq ?? 0;
  const [which, place] = placeOf(content);
  if (row.content === null) {
    const createdAt = log === 'event_log' ? (valueOf(log, row, 'created_at') as string) : null;
    const isBodiless = log === 'event_log' && leaf.content === null;
    const gone = {
      ...{ eventSeq, subject: row.subject, createdAt },
      ...(isBodiless && { bodilessFrom: valueOf(log, row, 'occurred_at') as string }),
    };
    if (!excuses.of(gone)) await excuses.read();
    if (leaf.content === null && excuses.mayBeBodiless(row.subject)) return 'erased';
    return (
      excuses.of(gone) ??
      fail('deleted', {
        message: `${which} was deleted without an erasure on record (${whenOf(leaf.seal)})`,
        ...place,
      })
    );
  }
  // Read the acts again: the content may have been erased during this verification.
  await excuses.read();
  if (excuses.isBeingErased(row.subject, eventSeq, nowMs) && (await isErasedSoon(walk, content)))
    return 'erased';
  if (excuses.isErased(row.subject, eventSeq)) {
    fail('inserted', {
      message: `${which} is there although it was erased: it was inserted, or the erasure was interrupted and must be run again`,
      ...place,
    });
  }
  return fail('edited', { message: `${which} was edited (${whenOf(leaf.seal)})`, ...place });
}

/** Each step of an erasure takes less. */
const standstillMs = 3_000;
const lookEveryMs = 100;

/**
 * Waits until an erasure that is still removing contents of the patient has removed this one. Returns false if the erasure makes no
 * progress.
 */
async function isErasedSoon({ vault: { store } }: SealWalk, { log, row }: Content): Promise<boolean> {
  let left = Infinity;
  let movedMs = monotonicMs();
  for (;;) {
    const [now] = await readEntries(store, log, `{id} = ${row.id}`);
    if (!now || now.content === null) return true;
    const [{ bodies } = { bodies: 0 }] = await store.rows<{ bodies: number }>(
      'SELECT COUNT(*) AS bodies FROM event_log WHERE subject = ? AND body IS NOT NULL',
      [row.subject],
    );
    if (bodies < left) movedMs = monotonicMs();
    else if (monotonicMs() - movedMs > standstillMs) return false;
    left = Math.min(left, bodies);
    await sleep(lookEveryMs);
  }
}

function placeOf({ log, leaf, row }: Content): [which: string, place: Omit<Place, 'message'>] {
  const what = log === 'attempts' ? 'the answer to' : 'the payload of';
  const which = `${what} ${nameOf(log, leaf.id)}${log === 'attempts' ? ` of delivery ${row.delivery}` : ''}`;
  const place = { seal: leaf.seal.number, log, entryId: leaf.id, delivery: row.delivery };
  return [which, { ...place, fields: [contentFields[log]] }];
}

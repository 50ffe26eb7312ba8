import { gappedLogs, type GappedLog } from '../seal/progress.ts';
import { differingFields, entryHash, valueOf, type Entry, type SealedLog } from '../seal/entry.ts';
import { checkMark } from './check/check-marks.ts';
import { compareContents } from './compare-contents.ts';
import { fail, nameOf, whenOf } from './flaw.ts';
import type { ReadChunk, SealedLeaf } from './read-chunks.ts';
import type { SealWalk } from './seal-walk.ts';

/** Compares leaves with their rows, and fails if a row has no leaf. */
export async function compareChunk(walk: SealWalk, chunk: ReadChunk): Promise<void> {
  const { log, leaves, rows } = chunk;
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const leaf of leaves) compareLeaf(walk, log, leaf, byId.get(leaf.id));
  const sealed = new Set(leaves.map(({ id }) => id));
  for (const { id } of rows) if (!sealed.has(id)) skip(walk, log, id);
  if (isGapped(log)) for (const id of sealed) walk.skipped[log].delete(id);
  await compareContents(walk, chunk, byId);
  walk.onEntries(leaves.length);
}

function isGapped(log: SealedLog): log is GappedLog {
  return (gappedLogs as readonly SealedLog[]).includes(log);
}

/** Notes a row that no seal up to here contains. */
function skip({ skipped }: SealWalk, log: SealedLog, id: number): void {
  if (isGapped(log)) {
    skipped[log].add(id);
    return;
  }
  failInserted(log, id);
}

function failInserted(log: SealedLog, id: number): never {
  return fail('inserted', {
    message: `${nameOf(log, id)} was inserted after its time: no seal has it`,
    ...{ log, entryId: id, delivery: log === 'delivery_log' ? id : null },
  });
}

function compareLeaf(walk: SealWalk, log: SealedLog, leaf: SealedLeaf, row: Entry | undefined): void {
  if (row && isWhole(log, leaf, row)) checkMark(walk, log, row);
  else failEdited(log, leaf, row);
}

/** Whether a row, and the rows that it refers to, are as they were sealed. */
function isWhole(log: SealedLog, leaf: SealedLeaf, row: Entry): boolean {
  if (log === 'event_log' && !row.keepsContent) return false;
  return entryHash(log, row, leaf.content).equals(leaf.hash);
}

function failEdited(log: SealedLog, leaf: SealedLeaf, row: Entry | undefined): never {
  const [which, when] = [nameOf(log, leaf.id), whenOf(leaf.seal)];
  const place = { seal: leaf.seal.number, log, entryId: leaf.id, delivery: row?.delivery ?? null };
  if (!row) fail('deleted', { message: `${which} was deleted (${when})`, ...place });
  const delivery = row.delivery === null ? '' : ` of delivery ${row.delivery}`;
  if (log === 'attempts' && valueOf(log, row, 'webhook_id') === null)
    fail('deleted', { message: `delivery ${row.delivery} of ${which} was deleted (${when})`, ...place });
  if (log !== 'audit_log' && row.eventId === null)
    fail('deleted', { message: `the event of ${which}${delivery} was deleted (${when})`, ...place });
  if (entryHash(log, row, leaf.content).equals(leaf.hash)) {
    fail('edited', {
      message: `${which} is hidden: staging was edited (${when})`,
      ...{ ...place, fields: ['staging'] },
    });
  }
  const fields = differingFields(log, leaf, row);
  const named = fields.length > 0 ? fields.join(', ') : 'its leaf';
  const of = log === 'attempts' ? delivery : '';
  fail('edited', { message: `${which}${of} was edited: ${named} (${when})`, ...place, fields });
}

/** After the last seal: fails for rows that no seal contains and that are not in an open range. */
export function checkSkipped({ skipped, progress }: SealWalk): void {
  for (const log of gappedLogs) {
    const left = [...skipped[log]].filter(
      (id) => !progress[log].open.some(({ from, to }) => id >= from && id <= to),
    );
    if (left.length > 0) failInserted(log, Math.min(...left));
  }
}

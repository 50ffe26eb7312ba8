import type { Marker } from '../../../db/proof/marks.ts';
import { readEntries, valueOf, type Entry, type SealedLog } from '../../seal/entry.ts';
import { isMarked } from '../../seal/is-marked.ts';
import { fail, nameOf } from '../flaw.ts';
import type { Progress } from '../../seal/progress.ts';
import type { Verification } from '../verification.ts';
import type { EncryptedStore } from '../../../db/connection/encrypted-store.ts';

interface Checking {
  marker: Marker;
  progress: Progress;
  result: Pick<Verification, 'sqlActs' | 'unsealed'>;
}

/** Fails if an attempt or an act was not written by this program. Rows of version f84be48 have no marks. */
export function checkMark({ marker, progress, result }: Checking, log: SealedLog, row: Entry): void {
  if (log !== 'attempts' && log !== 'audit_log') return;
  if (log === 'audit_log' && valueOf(log, row, 'role') === 'sql') result.sqlActs += 1;
  if (isMarked(marker, { log, row, unmarkedTo: progress.unmarked[log] })) return;
  const of = row.delivery === null ? '' : ` of delivery ${row.delivery}`;
  fail('forged', {
    message: `${nameOf(log, row.id)}${of} was not written by odontology-webhooks under the key of this installation: SQL inserted or edited it before it was sealed`,
    ...{ log, entryId: row.id, delivery: row.delivery, fields: ['mark'] },
  });
}

const rowsAtOnce = 1_000;

/** Checks the marks of rows newer than the last seal, and counts the rows. */
export async function checkUnsealed(
  checking: Checking & { vault: EncryptedStore },
  log: 'attempts' | 'audit_log',
): Promise<void> {
  for (let after = checking.progress[log].to; ;) {
    const rows = await readEntries(
      checking.vault.store,
      log,
      `{id} IN (SELECT id FROM (SELECT id FROM ${log} WHERE id > ${after} ORDER BY id LIMIT ${rowsAtOnce}) newer)`,
    );
    for (const row of rows) checkMark(checking, log, row);
    checking.result.unsealed += rows.length;
    const last = rows.at(-1);
    if (!last || rows.length < rowsAtOnce) return;
    after = last.id;
  }
}

import type { Marker } from '../../../db/proof/marks.ts';
import { readEntries, valueOf, whyFailed, type Entry, type SealedLog } from '../../seal/entry.ts';
import { fail, nameOf } from '../flaw.ts';
import type { Progress } from '../../seal/progress.ts';
import type { SealVault } from '../../seal/seal.ts';
import type { Verification } from '../verification.ts';

interface Checking {
  marker: Marker;
  progress: Progress;
  result: Pick<Verification, 'sqlActs' | 'unsealed'>;
}

/** Fails where an attempt or an act was not written by this program. Rows of version f84be48 have no marks. */
export function checkMark({ marker, progress, result }: Checking, log: SealedLog, row: Entry): void {
  if (log !== 'attempts' && log !== 'audit_log') return;
  const text = (name: string): string => valueOf(log, row, name) as string;
  const number = (name: string): number => valueOf(log, row, name) as number;
  const orNull = (name: string): string | null => valueOf(log, row, name) as string | null;
  const numberOrNull = (name: string): number | null => valueOf(log, row, name) as number | null;
  if (log === 'audit_log' && text('role') === 'sql') result.sqlActs += 1;
  if (row.id <= progress.unmarked[log]) return;
  const hex = orNull('mark');
  const mark = hex === null ? null : Buffer.from(hex, 'hex');
  const isOurs =
    log === 'attempts'
      ? marker.isOfAttempt(mark, {
          delivery: number('delivery_id'),
          number: number('number'),
          startedAt: text('started_at'),
          durationMs: number('duration_ms'),
          outcome: text('outcome'),
          responseStatus: numberOrNull('response_status'),
          ...whyFailed(row),
          recordedAt: orNull('recorded_at'),
          receiver: numberOrNull('receiver'),
          webhook: numberOrNull('webhook_id'),
          eventId: orNull('event_id'),
          eventType: orNull('event_type'),
        })
      : marker.isOfAct(mark, {
          at: text('at'),
          actor: text('actor'),
          role: text('role'),
          action: text('action'),
          target: orNull('target'),
          details: valueOf(log, row, 'details'),
        });
  if (isOurs) return;
  const of = row.delivery === null ? '' : ` of delivery ${row.delivery}`;
  fail('forged', {
    message: `${nameOf(log, row.id)}${of} was not written by odontology-webhooks under the key of this installation: SQL inserted or edited it before it was sealed`,
    ...{ log, entryId: row.id, delivery: row.delivery, fields: ['mark'] },
  });
}

const rowsAtOnce = 1_000;

/** Checks the marks of what is newer than the last seal, and counts it. */
export async function checkUnsealed(
  checking: Checking & { vault: SealVault },
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

import type { Marker } from '../../db/proof/marks.ts';
import { valueOf, whyFailed, type Entry } from './entry.ts';
import type { GappedLog } from './progress.ts';

/**
 * Whether an attempt or an act has the mark that only this program can make, or needs none.
 * @param unmarkedTo last id of the rows of version f84be48, which made no marks, or of the rows that a new log took over
 * from one whose key is lost
 */
export function isMarked(
  marker: Marker,
  { log, row, unmarkedTo }: { log: GappedLog; row: Entry; unmarkedTo: number },
): boolean {
  const text = (name: string): string => valueOf(log, row, name) as string;
  const number = (name: string): number => valueOf(log, row, name) as number;
  const orNull = (name: string): string | null => valueOf(log, row, name) as string | null;
  const numberOrNull = (name: string): number | null => valueOf(log, row, name) as number | null;
  const hex = orNull('mark');
  if (row.id <= unmarkedTo) return true;
  const mark = hex === null ? null : Buffer.from(hex, 'hex');
  return log === 'attempts'
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
}

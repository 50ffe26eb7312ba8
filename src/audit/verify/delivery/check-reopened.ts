import { readMarkedActs } from '../../../db/proof/marked-acts.ts';
import { matchesPattern } from '../../../event/subscription.ts';
import { readReplayRecords, type ReplayRecords, type ReplayState } from '../../act/replay-acts.ts';
import { failDelivery, type DeliveryWalk } from './delivery-walk.ts';
import type { Delivery } from './read-deliveries.ts';

/** Fails unless a person reopened each delivery after its last attempt, by a retry of it or by a replay to its webhook. */
export async function checkReopened(walk: DeliveryWalk, reopened: readonly Delivery[]): Promise<void> {
  if (reopened.length === 0) return;
  const retries = await readMarkedActs(walk.session, walk.marker, {
    action: 'delivery.retry',
    targets: reopened.map(({ id }) => String(id)),
  });
  // Read again: a replay may have begun since.
  const replays = await readReplayRecords(walk.session, walk.marker);
  const running = await walk.session.rows<{ id: number; nextSeq: number }>(
    "SELECT id, next_seq AS nextSeq FROM replays WHERE state = 'running'",
  );
  const nextSeqs = new Map(running.map(({ id, nextSeq }) => [id, nextSeq]));
  const retriedAt = new Map(retries.map(({ target, at }) => [Number(target), at]));
  for (const delivery of reopened) {
    const lastAt = delivery.attempts.at(-1)?.recordedAt;
    if (lastAt === undefined || lastAt === null) continue;
    if ((retriedAt.get(delivery.id) ?? '') >= lastAt) continue;
    if (
      [...replays.created].some(([id, row]) =>
        isReplayed(replays, { id, row, delivery, lastAt, nextSeq: nextSeqs.get(id) }),
      )
    )
      continue;
    failDelivery(
      delivery,
      ['status'],
      'was opened again, and no retry or replay on record did it',
      'unexplained',
    );
  }
}

interface Replaying {
  id: number;
  row: ReplayState | null;
  delivery: Delivery;
  lastAt: string;
  /** While the replay runs, the next event that it reads. */
  nextSeq: number | undefined;
}

/** Whether a replay could have reopened this delivery after that attempt. An act of version f84be48 records only the webhook. */
function isReplayed(
  { ended }: ReplayRecords,
  { id, row, delivery, lastAt, nextSeq = Infinity }: Replaying,
): boolean {
  if (row === null) return false;
  const finishedAt = ended.get(id)?.['finished_at'] as string | null | undefined;
  const events = row['events'] as readonly string[] | null;
  return (
    row['webhook_id'] === delivery.webhookId &&
    delivery.eventSeq <= (row['last_seq'] as number) &&
    delivery.eventSeq < nextSeq &&
    delivery.occurredAt! >= (row['since'] as string) &&
    delivery.occurredAt! < (row['until'] as string) &&
    (finishedAt == null || finishedAt >= lastAt) &&
    (events === null || events.some((pattern) => matchesPattern(pattern, delivery.eventType!))) &&
    (row['entity_table'] === null ||
      (row['entity_table'] === delivery.entityTable && row['entity_key'] === delivery.entityKey))
  );
}

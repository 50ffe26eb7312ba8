import { recordAct, type Actor } from '../audit/record-act.ts';
import type { Halt } from '../binlog/halt.ts';
import type { Session } from '../db/client.ts';
import { createOwnEvent } from '../event/own-events.ts';
import type { DomainEvent } from '../event/types.ts';
import { systemClock } from '../lib/clock.ts';
import { AppError } from '../lib/errors.ts';
import { announce } from '../outbox/announce.ts';
import { acceptBaseline, moveCheckpoint, readCaptureState, waiveTransactions } from '../outbox/checkpoint.ts';
import { createRouter } from '../outbox/fan-out.ts';
import { loadWebhooks, type WebhookVault } from '../outbox/webhook-registry.ts';
import type { Gap, Transactions } from './gap.ts';

export interface Acceptance {
  actor: Actor;
  /** Why: kept in the audit log alone, it may name people. */
  reason: string;
}

/**
 * Lets capture go on, and records who accepted what and why in the same transaction. Throws AppError ERR_LEASE_LOST when the
 * position has moved since the gap was found.
 */
export async function acceptGap(vault: WebhookVault, gap: Gap, { actor, reason }: Acceptance): Promise<void> {
  const { webhooks } = await loadWebhooks(vault);
  await vault.store.transaction(async (tx) => {
    await requireSamePlace(tx, gap);
    await goOn(tx, gap);
    const told = tellGap(gap);
    await recordAct(tx, {
      actor,
      action: 'capture.accept-gap',
      target: (gap.halt.transactionId ?? gap.halt.reason).slice(0, 255),
      details: { ...told, ...listOf(gap), accepted_because: reason },
    });
    const [installation] = await tx.rows<{ uuid: string }>('SELECT uuid FROM installation WHERE id = 1');
    if (told['given_up'] !== null)
      await announce(tx, gapEvent(installation!.uuid, gap.epoch, told), {
        route: createRouter(webhooks),
        box: vault.box,
      });
  });
}

async function requireSamePlace(tx: Session, gap: Gap): Promise<void> {
  await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
  const { checkpoint, epoch } = await readCaptureState(tx);
  const { gtid, file, offset } = gap.from.position;
  const now = checkpoint?.position;
  if (epoch === gap.epoch && now?.gtid === gtid && now.file === file && now.offset === offset) return;
  throw new AppError('ERR_LEASE_LOST', 'Capture has moved since: what is missing is not what was shown.', {
    remedy: 'Look again: odontology-webhooks status',
  });
}

function goOn(tx: Session, gap: Gap): Promise<void> {
  switch (gap.kind) {
    case 'interval':
      return moveCheckpoint(tx, gap.to);
    case 'transaction':
      return waiveTransactions(tx, gap.waived, gap.baseline);
    case 'definition':
      return acceptBaseline(tx, gap.baseline);
  }
}

function gapEvent(installation: string, epoch: number, data: DomainEvent['data']): DomainEvent {
  return createOwnEvent({
    type: 'capture.gap',
    installation,
    occasion: [String(epoch)],
    occurredAtMs: systemClock.now(),
    entity: { table: 'checkpoint', key: '1' },
    data,
  });
}

/** The gap in plain words and values: for the audit log, the event and `--json`. */
export function tellGap(gap: Gap): Readonly<Record<string, unknown>> {
  const { halt, from, kind } = gap;
  const survey = kind === 'transaction' ? gap.survey : null;
  const span = survey?.span ?? halt.span;
  return {
    given_up: kind !== 'definition' ? kind : gap.gone.length > 0 ? 'table' : null,
    reason: halt.reason,
    message: halt.message,
    table: halt.table,
    gone_tables: kind === 'interval' ? [] : gap.gone,
    transaction: halt.transactionId,
    transactions: kind === 'transaction' ? countGivenUp(gap) : null,
    reasons: survey && countReasons(survey.unreadable),
    missing: halt.missing,
    since: moment(span.fromMs),
    until: moment(span.untilMs),
    from: from.position,
    to: kind === 'interval' ? gap.to.position : (survey?.reached ?? from.position),
  };
}

/** How many transactions an acceptance passes over. */
export function countGivenUp({ survey }: Transactions): number {
  return survey?.unreadable.length ?? 1;
}

/** How many transactions cannot be read for each reason. */
export function countReasons(halts: readonly Halt[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reason } of halts) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}

/** Each transaction by its id: for the audit log alone, they may be thousands. */
function listOf(gap: Gap): Readonly<Record<string, unknown>> {
  if (gap.kind !== 'transaction' || !gap.survey) return {};
  return { transaction_ids: gap.survey.unreadable.map(({ transactionId }) => transactionId) };
}

const moment = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

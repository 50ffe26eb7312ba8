import { recordAct, type Actor } from '../../audit/act/record-act.ts';
import type { Halt } from '../../binlog/halt.ts';
import { isDeepStrictEqual } from 'node:util';
import type { Session } from '../../db/connection/client.ts';
import { openMarker, type Marker } from '../../db/proof/marks.ts';
import { createSystemEvent } from '../../event/system-events.ts';
import type { DomainEvent } from '../../event/types.ts';
import { systemClock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import { appendSystemEvent } from '../../outbox/append/append-system-event.ts';
import {
  acceptBaseline,
  acceptPosition,
  moveCheckpoint,
  readCaptureState,
  skipTransactions,
} from '../../outbox/checkpoint.ts';
import { isPositionProved } from '../../outbox/checkpoint-mark.ts';
import { acceptDifferences } from '../../outbox/decoder-record.ts';
import { createRouter } from '../../outbox/append/fan-out.ts';
import { loadWebhooks } from '../../outbox/webhook/webhook-registry.ts';
import { nameOf } from '../second-reading.ts';
import type { Gap, Transactions } from './gap.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

export interface Acceptance {
  actor: Actor;
  /** The reason: stored only in the audit log, because it may name people. */
  reason: string;
}

/**
 * Lets capture resume, and in the same transaction records who accepted which gap and why. Throws AppError ERR_LEASE_LOST when the
 * position has moved since the gap was found.
 */
export async function acceptGap(
  vault: EncryptedStore,
  gap: Gap,
  { actor, reason }: Acceptance,
): Promise<void> {
  const { webhooks } = await loadWebhooks(vault);
  await vault.store.transaction(async (tx) => {
    await requireSamePlace(tx, vault, gap);
    await moveOn(tx, gap, await openMarker(tx, vault.cipher));
    const told = gapInWords(gap);
    await recordAct(tx, vault.cipher, {
      actor,
      action: 'capture.accept-gap',
      target: (gap.halt.transactionId ?? gap.halt.reason).slice(0, 255),
      details: { ...told, ...listOf(gap), accepted_because: reason },
    });
    const [installation] = await tx.rows<{ uuid: string }>('SELECT uuid FROM installation WHERE id = 1');
    if (told['given_up'] !== null)
      await appendSystemEvent(tx, gapEvent(installation!.uuid, gap.epoch, told), {
        route: createRouter(webhooks),
        cipher: vault.cipher,
      });
  });
}

async function requireSamePlace(tx: Session, { cipher }: EncryptedStore, gap: Gap): Promise<void> {
  await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
  const state = await readCaptureState(tx);
  const isSame =
    state.epoch === gap.epoch && isDeepStrictEqual(state.checkpoint?.position, gap.from?.position);
  if (isSame && (gap.kind === 'edited' || (await isPositionProved(tx, cipher, state)))) return;
  throw new AppError('ERR_LEASE_LOST', 'Capture has moved since: what is missing is not what was shown.', {
    remedy: 'Look again: odontology-webhooks status',
  });
}

async function moveOn(tx: Session, gap: Gap, marker: Marker): Promise<void> {
  const leaving = { marker, epoch: gap.epoch, from: gap.from };
  switch (gap.kind) {
    case 'interval':
      return moveCheckpoint(tx, gap.to, leaving);
    case 'transaction':
      return skipTransactions(tx, { ids: gap.waived, baseline: gap.baseline }, leaving);
    case 'decoder':
      await acceptDifferences(tx, gap.differences);
      return acceptBaseline(tx, gap.baseline, leaving);
    case 'definition':
      return acceptBaseline(tx, gap.baseline, leaving);
    case 'edited':
      return acceptPosition(tx, gap.waived, leaving);
  }
}

function gapEvent(installation: string, epoch: number, data: DomainEvent['data']): DomainEvent {
  return createSystemEvent({
    type: 'capture.gap',
    installation,
    occasion: [String(epoch)],
    occurredAtMs: systemClock.now(),
    entity: { table: 'checkpoint', key: '1' },
    data,
  });
}

/** The gap as plain values: for the audit log, the event and `--json`. */
export function gapInWords(gap: Gap): Readonly<Record<string, unknown>> {
  const { halt, from, kind } = gap;
  const scan = kind === 'transaction' ? gap.scan : null;
  const span = scan?.span ?? halt.span;
  return {
    given_up: givenUp(gap),
    reason: halt.reason,
    message: halt.message,
    table: halt.table,
    gone_tables: 'gone' in gap ? gap.gone : [],
    ...(kind === 'decoder' ? { differences: gap.differences.map(nameOf) } : {}),
    transaction: halt.transactionId,
    transactions: kind === 'transaction' ? countGivenUp(gap) : null,
    reasons: scan && countReasons(scan.unreadable),
    missing: halt.missing,
    since: moment(span.fromMs),
    until: moment(span.untilMs),
    from: from?.position ?? null,
    to: kind === 'interval' ? gap.to.position : (scan?.reached ?? from?.position ?? null),
  };
}

function givenUp(gap: Gap): string | null {
  if (gap.kind === 'decoder') return null;
  // Which changes lie between the two places is not known.
  if (gap.kind === 'edited') return 'unknown';
  if (gap.kind !== 'definition') return gap.kind;
  return gap.gone.length > 0 ? 'table' : null;
}

/** How many transactions an acceptance skips. */
export function countGivenUp({ scan }: Transactions): number {
  return scan?.unreadable.length ?? 1;
}

/** How many transactions cannot be read for each reason. */
export function countReasons(halts: readonly Halt[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reason } of halts) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}

/** Each transaction by its id: only for the audit log, because there may be thousands. */
function listOf(gap: Gap): Readonly<Record<string, unknown>> {
  if (gap.kind !== 'transaction' || !gap.scan) return {};
  return { transaction_ids: gap.scan.unreadable.map(({ transactionId }) => transactionId) };
}

const moment = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

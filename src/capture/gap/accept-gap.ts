import { recordAct, type Actor } from '../../audit/act/record-act.ts';
import type { Halt } from '../../binlog/halt.ts';
import type { Session } from '../../db/connection/client.ts';
import { createSystemEvent } from '../../event/system-events.ts';
import type { DomainEvent } from '../../event/types.ts';
import { systemClock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import { appendSystemEvent } from '../../outbox/append/append-system-event.ts';
import {
  acceptBaseline,
  moveCheckpoint,
  readCaptureState,
  skipTransactions,
} from '../../outbox/checkpoint.ts';
import { acceptDifferences } from '../../outbox/decoder-record.ts';
import { createRouter } from '../../outbox/append/fan-out.ts';
import { loadWebhooks } from '../../outbox/webhook/webhook-registry.ts';
import { nameOf } from '../second-reading.ts';
import type { Decoder, Gap, Transactions } from './gap.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

export interface Acceptance {
  actor: Actor;
  /** Why: kept in the audit log alone, it may name people. */
  reason: string;
}

/**
 * Lets capture resume, and records who accepted what and why in the same transaction. Throws AppError ERR_LEASE_LOST when the
 * position has moved since the gap was found.
 */
export async function acceptGap(
  vault: EncryptedStore,
  gap: Gap,
  { actor, reason }: Acceptance,
): Promise<void> {
  const { webhooks } = await loadWebhooks(vault);
  await vault.store.transaction(async (tx) => {
    await requireSamePlace(tx, gap);
    await goOn(tx, gap);
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
      return skipTransactions(tx, gap.waived, gap.baseline);
    case 'decoder':
      return acceptDecoder(tx, gap);
    case 'definition':
      return acceptBaseline(tx, gap.baseline);
  }
}

async function acceptDecoder(tx: Session, { differences, baseline }: Decoder): Promise<void> {
  await acceptDifferences(tx, differences);
  await acceptBaseline(tx, baseline);
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

/** The gap in plain words and values: for the audit log, the event and `--json`. */
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
    from: from.position,
    to: kind === 'interval' ? gap.to.position : (scan?.reached ?? from.position),
  };
}

function givenUp(gap: Gap): string | null {
  if (gap.kind === 'decoder') return null;
  if (gap.kind !== 'definition') return gap.kind;
  return gap.gone.length > 0 ? 'table' : null;
}

/** How many transactions an acceptance passes over. */
export function countGivenUp({ scan }: Transactions): number {
  return scan?.unreadable.length ?? 1;
}

/** How many transactions cannot be read for each reason. */
export function countReasons(halts: readonly Halt[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reason } of halts) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}

/** Each transaction by its id: for the audit log alone, they may be thousands. */
function listOf(gap: Gap): Readonly<Record<string, unknown>> {
  if (gap.kind !== 'transaction' || !gap.scan) return {};
  return { transaction_ids: gap.scan.unreadable.map(({ transactionId }) => transactionId) };
}

const moment = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

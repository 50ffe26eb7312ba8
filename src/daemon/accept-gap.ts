import { recordAct, type Actor } from '../audit/record-act.ts';
import type { Halt } from '../binlog/halt.ts';
import { lineageHalt, proveLineage } from '../binlog/lineage.ts';
import { findNextStart } from '../binlog/next-start.ts';
import type { Source, SourceIdentity } from '../binlog/source.ts';
import type { Baseline } from '../binlog/types.ts';
import { createOwnEvent } from '../event/own-events.ts';
import type { DomainEvent } from '../event/types.ts';
import { systemClock } from '../lib/clock.ts';
import { AppError } from '../lib/errors.ts';
import { acceptBaseline, moveCheckpoint, readCaptureState, waiveTransactions } from '../outbox/checkpoint.ts';
import { announce } from '../outbox/announce.ts';
import { createRouter } from '../outbox/fan-out.ts';
import type { CaptureState, Checkpoint } from '../outbox/types.ts';
import { loadWebhooks, type WebhookVault } from '../outbox/webhook-registry.ts';
import { lineageName } from './proven-checkpoint.ts';

/** What going on would cost, found before anybody is asked. */
export type Gap = Interval | Transaction | Definition;

interface Found {
  halt: Halt;
  /** Where capture stood: it is accepted only while it stands there. */
  from: Checkpoint;
  epoch: number;
}

/** A stretch of the log is not there: the position moves over it. */
interface Interval extends Found {
  kind: 'interval';
  to: Checkpoint;
  why: string;
}

/** One transaction cannot be read: it is passed over, whole. */
interface Transaction extends Found {
  kind: 'transaction';
  waived: readonly string[];
}

/** A watched table is not what it was: it is read as it is now, and no change is lost. */
interface Definition extends Found {
  kind: 'definition';
  baseline: Baseline;
}

/** Throws AppError ERR_NOT_HALTED when there is nothing to accept. */
export async function findGap(source: Source, store: WebhookVault['store']): Promise<Gap> {
  const state = await readCaptureState(store);
  const { checkpoint: from, epoch, halt } = state;
  if (!from) throw notHalted('Nothing was captured yet.');
  const identity = await source.identify();
  const checkpoint = { ...from, serverUuid: from.serverUuid ?? '' };
  const lineage = await proveLineage(source, identity, checkpoint);
  if (lineage.kind !== 'ok') {
    const next = await findNextStart(source, identity, { kind: lineage.kind, checkpoint });
    if (!next) throw new AppError('ERR_PREFLIGHT', 'The source writes no binary log.');
    const to = nextCheckpoint(identity, { ...next, from, epoch });
    const span = { ...lineage.span, untilMs: lineage.span.untilMs ?? next.atMs };
    const broken = lineageHalt({ ...lineage, span }, from.position);
    return { kind: 'interval', halt: broken, from, epoch, to, why: next.why };
  }
  if (!halt) throw notHalted('Capture is not halted: there is no gap to accept.');
  return gapAt(halt, from, state);
}

function gapAt(halt: Halt, from: Checkpoint, { epoch, waived, baseline }: CaptureState): Gap {
  const found = { halt, from, epoch };
  if (halt.reason === 'column-changed') {
    const table = halt.table?.split('.').at(-1)?.toLowerCase();
    const others = Object.entries(baseline).filter(([name]) => name !== table);
    return { ...found, kind: 'definition', baseline: Object.fromEntries(others) };
  }
  if (halt.transactionId !== null)
    return { ...found, kind: 'transaction', waived: [...waived, halt.transactionId] };
  throw notHalted(
    `The log goes on from where capture stopped: the cause of the halt seems to be gone (${halt.message}) A running daemon tries ` +
      'again every 30 s.',
  );
}

function nextCheckpoint(
  identity: SourceIdentity,
  {
    position,
    sameHistory,
    from,
    epoch,
  }: { position: Checkpoint['position']; sameHistory: boolean } & Pick<Found, 'from' | 'epoch'>,
): Checkpoint {
  return {
    // Another history may have the same numbers for other transactions: their events must not be taken for copies.
    lineage: sameHistory ? from.lineage : lineageName(identity, epoch + 1),
    flavour: identity.flavour,
    serverUuid: identity.serverUuid,
    position,
    committedAtMs: sameHistory ? from.committedAtMs : null,
  };
}

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
    await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
    const { checkpoint, epoch } = await readCaptureState(tx);
    const { gtid, file, offset } = gap.from.position;
    const now = checkpoint?.position;
    if (epoch !== gap.epoch || now?.gtid !== gtid || now.file !== file || now.offset !== offset) {
      throw new AppError(
        'ERR_LEASE_LOST',
        'Capture has moved since: what is missing is not what was shown.',
        {
          remedy: 'Look again: odontology-webhooks status',
        },
      );
    }
    switch (gap.kind) {
      case 'interval':
        await moveCheckpoint(tx, gap.to);
        break;
      case 'transaction':
        await waiveTransactions(tx, gap.waived);
        break;
      case 'definition':
        await acceptBaseline(tx, gap.baseline);
    }
    const told = tellGap(gap);
    await recordAct(tx, {
      actor,
      action: 'capture.accept-gap',
      target: (gap.halt.transactionId ?? gap.halt.reason).slice(0, 255),
      details: { ...told, accepted_because: reason },
    });
    const [installation] = await tx.rows<{ uuid: string }>('SELECT uuid FROM installation WHERE id = 1');
    if (gap.kind !== 'definition')
      await announce(tx, gapEvent(installation!.uuid, epoch, told), {
        route: createRouter(webhooks),
        box: vault.box,
      });
  });
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
  return {
    given_up: kind === 'definition' ? null : kind,
    reason: halt.reason,
    message: halt.message,
    table: halt.table,
    transaction: halt.transactionId,
    missing: halt.missing,
    since: moment(halt.span.fromMs),
    until: moment(halt.span.untilMs),
    from: from.position,
    to: kind === 'interval' ? gap.to.position : from.position,
  };
}

const moment = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

function notHalted(message: string): AppError {
  return new AppError('ERR_NOT_HALTED', message);
}

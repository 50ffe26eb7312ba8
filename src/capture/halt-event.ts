import type { Halt } from '../binlog/halt.ts';
import type { Session } from '../db/connection/client.ts';
import type { Cipher } from '../crypto/cipher.ts';
import { formatTimestamp } from '../event/body.ts';
import { createSystemEvent } from '../event/system-events.ts';
import type { DomainEvent } from '../event/types.ts';
import { appendSystemEvent } from '../outbox/append/append-system-event.ts';
import type { Router } from '../outbox/append/fan-out.ts';
import { readCaptureState, recordHalt } from '../outbox/checkpoint.ts';

interface Halting {
  /** Uuid of the installation. */
  installation: string;
  /** From the checkpoint at which the reader began. */
  epoch: number;
  route: Router;
  cipher: Cipher;
}

/**
 * Records why capture stopped, with the event `capture.halted` in the same transaction. Only the first try while capture is halted writes the event, also
 * across restarts. Returns the deliveries that it created.
 */
export async function recordAndAnnounceHalt(
  tx: Session,
  halt: Halt,
  { installation, epoch, route, cipher }: Halting,
): Promise<number> {
  if (!(await recordHalt(tx, halt, epoch))) return 0;
  const recorded = await readCaptureState(tx);
  return appendSystemEvent(tx, haltedEvent(installation, recorded.halt!, epoch), { route, cipher });
}

function haltedEvent(
  installation: string,
  { atMs, ...halt }: Halt & { atMs: number },
  epoch: number,
): DomainEvent {
  const { reason, message, remedy, table, transactionId, missing } = halt;
  const timestamp = formatTimestamp(atMs);
  return createSystemEvent({
    type: 'capture.halted',
    installation,
    occasion: [String(epoch), timestamp],
    occurredAtMs: atMs,
    entity: { table: 'checkpoint', key: '1' },
    data: { reason, message, remedy, table, transaction: transactionId, missing, timestamp },
  });
}

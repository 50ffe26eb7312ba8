import { CaptureFault } from '../../binlog/halt.ts';
import { acceptGapCommand, steps } from '../../binlog/remedy.ts';
import type { Store } from '../../db/connection/client.ts';
import { packetMargin } from '../../db/connection/statements.ts';
import { literal } from '../../db/connection/sql-text.ts';
import { raisePacket } from '../../db/connection/store-error.ts';
import type { DomainEvent } from '../../event/types.ts';
import type { Claimant } from '../types.ts';

/** Size of the columns of an event's row without the body: keys of 255 characters and similar values. */
const otherBytes = 16_384;
/** At most this many bytes of a statement come from one UTF-16 unit of a body: 3 of UTF-8, by 4/3 of base64. */
const bytesOfUnit = 4;

/** An event whose row is larger than a statement of the store may be. */
export class EventTooLarge extends CaptureFault {
  /** Size of its statement in bytes. */
  readonly bytes: number;

  constructor(bytes: number, message: string, options: { remedy: string; table: string }) {
    super('event-too-large', message, options);
    this.bytes = bytes;
  }
}

/**
 * Throws EventTooLarge when an event's row is larger than a statement of the store may be: it could never be written, and capture would retry forever. It
 * first reads the server's limit again, because it may have been raised.
 */
export async function requireFit(
  { store, cipher }: Pick<Claimant, 'store' | 'cipher'>,
  events: readonly DomainEvent[],
): Promise<void> {
  for (const event of events) {
    if (bytesOfUnit * event.body.length + otherBytes <= store.statementBytes) continue;
    const bytes = storedBytes(event.body, cipher.forPatients.encrypts) + otherBytes;
    if (bytes > store.statementBytes && bytes > (await store.measureStatement()))
      throw tooLarge(event, bytes, store);
  }
}

/** Whether an event's row of this size fits into a statement of a new session. */
export async function fitsNow(store: Store, bytes: number): Promise<boolean> {
  const [row] = await store.rows<{ limit: number }>('SELECT @@GLOBAL.max_allowed_packet AS `limit`');
  return row!.limit - packetMargin >= bytes;
}

function storedBytes(body: string, encrypts: boolean): number {
  return encrypts ? Math.ceil(Buffer.byteLength(body) / 3) * 4 : Buffer.byteLength(literal(body));
}

function tooLarge(
  { type, entity: { table } }: DomainEvent,
  bytes: number,
  { statementBytes }: Store,
): EventTooLarge {
  return new EventTooLarge(
    bytes,
    `an event ${type} takes ${bytes} bytes to store, and max_allowed_packet of the store's server allows ${statementBytes}`,
    {
      table,
      remedy: steps(
        "Raise the limit of the store's server. Capture then continues within seconds:",
        raisePacket(bytes),
        'Or leave the large column out of the rule, and give up this event with its transaction:',
        acceptGapCommand('event too large for the store'),
      ),
    },
  );
}

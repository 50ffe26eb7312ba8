import { ByteReader } from '../../protocol/byte-reader.ts';
import { CaptureFault } from '../../halt.ts';
import type { LogEvent } from '../../protocol/log-event.ts';
import { acceptGapCommand } from '../../remedy.ts';
import type { Baseline, LogPlace, RowEvent, TransactionPart } from '../../types.ts';

/*
 * A two-phase XA transaction is two groups in the log, each with its own GTID:
 *
 *   (XA START, rows, XA END, XA_PREPARE event)   …   (XA COMMIT or XA ROLLBACK)
 *
 * The second group may come much later: after other transactions, in another file, after a restart of the server or of the daemon. The
 * rows are reported at XA COMMIT, as part of that group. In between, small transactions are held in memory; large ones are read again
 * from their position. For a transaction prepared before this reader began, the log is searched for the position. Nothing is stored
 * across a restart, because the log contains everything.
 */

/** Memory limit for the rows of all prepared transactions together, in bytes; beyond it they are read again. */
const HELD_BYTES = 16 * 1024 * 1024;

/** A prepared transaction that has not ended yet. */
export interface Prepared {
  /** The start of its group. */
  place: LogPlace;
  /** Watched rows in order; undefined if they must be read again. */
  rows: RowEvent[] | undefined;
  /** Memory of the rows, in bytes. */
  bytes: number;
  /** Parents whose cascades the log does not show. */
  parents: TransactionPart['parents'];
}

/** What must be read again at an XA COMMIT. */
export interface Wanted {
  xid: string;
  /** Undefined: this reader has not seen it prepared, and searches for it before `end`. */
  place: LogPlace | undefined;
  end: LogPlace;
  baseline: Baseline;
}

/** Emits the rows of a prepared transaction, in parts. Resolves to false when the log no longer contains them. */
export type RereadPrepared = (wanted: Wanted, emit: (part: TransactionPart) => void) => Promise<boolean>;

/** The XA transactions that this reader has seen prepared and not ended, by xid. */
export class PreparedTransactions {
  readonly #prepared = new Map<string, Prepared>();
  #bytes = 0;

  add(xid: string, prepared: Prepared): void {
    this.take(xid);
    const isHeld = prepared.rows !== undefined && this.#bytes + prepared.bytes <= HELD_BYTES;
    this.#prepared.set(xid, isHeld ? prepared : { ...prepared, rows: undefined, bytes: 0 });
    if (isHeld) this.#bytes += prepared.bytes;
  }

  /** Returns a prepared transaction and forgets it, because its end was read. */
  take(xid: string): Prepared | undefined {
    const found = this.#prepared.get(xid);
    this.#prepared.delete(xid);
    this.#bytes -= found?.bytes ?? 0;
    return found;
  }
}

const xidInText = /X'([0-9a-f]*)',X'([0-9a-f]*)',(\d+)/i;

/** Reads the xid of a logged XA statement, `X'61',X'62',7`: both servers write this form. Throws a RangeError without one. */
export function readXid(statement: string): string {
  const found = xidInText.exec(statement);
  if (!found) throw new RangeError('an XA statement without an xid');
  return formatXid(found[1]!, found[2]!, Number(found[3]));
}

function formatXid(gtrid: string, bqual: string, format: number): string {
  return `X'${gtrid.toLowerCase()}',X'${bqual.toLowerCase()}',${format}`;
}

/** Reads XA_PREPARE_LOG_EVENT: one phase or two, format id, lengths of the two parts, the parts (XA_prepare_event of both servers). */
export function readXaPrepare(event: LogEvent): { xid: string; isOnePhase: boolean } {
  const reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
  const isOnePhase = reader.uint8() !== 0;
  const format = reader.uint32();
  const [gtridLength, bqualLength] = [reader.uint32(), reader.uint32()];
  const gtrid = reader.bytes(gtridLength).toString('hex');
  const bqual = reader.bytes(bqualLength).toString('hex');
  return { xid: formatXid(gtrid, bqual, format), isOnePhase };
}

/** Whether a statement begins an XA transaction. */
export function startsXa(statement: string): boolean {
  return /^XA\s+(START|BEGIN)\b/i.test(statement);
}

/** The rows of a committed XA transaction can no longer be read. */
export function lostPrepared(): CaptureFault {
  return new CaptureFault(
    'xa-transaction',
    'an XA transaction was committed whose rows were prepared in a part of the log that the server no longer has',
    { remedy: acceptGapCommand('the prepared XA transaction was purged') },
  );
}

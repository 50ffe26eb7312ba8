import { ByteReader } from '../../protocol/byte-reader.ts';
import { CaptureFault } from '../../halt.ts';
import type { LogEvent } from '../../protocol/log-event.ts';
import { acceptGapCommand } from '../../remedy.ts';
import type { Baseline, LogPlace, RowEvent, TransactionPart } from '../../types.ts';

/*
 * An XA transaction in two phases is two groups of the log, each with its own GTID:
 *
 *   (XA START, rows, XA END, XA_PREPARE event)   …   (XA COMMIT or XA ROLLBACK)
 *
 * The second one may come much later: behind other transactions, in another file, after a restart of the server or of ours. Its
 * rows fire at XA COMMIT, as that group's. Between the two, small ones are held in memory; large ones are read again from their position. For a
 * transaction that was prepared before this reader began, the position is searched in the log. Nothing is kept over a restart: the log has
 * it all.
 */

/** Rows of all prepared transactions together that are held in memory; beyond it they are read again. */
const HELD_BYTES = 16 * 1024 * 1024;

/** A prepared transaction whose end has not come yet. */
export interface Prepared {
  /** Where its group begins. */
  place: LogPlace;
  /** Watched rows in order; undefined: they are to be read again. */
  rows: RowEvent[] | undefined;
  /** What the rows take in memory. */
  bytes: number;
  /** Parents whose cascades the log does not show. */
  parents: TransactionPart['parents'];
}

/** What must be read again at an XA COMMIT. */
export interface Wanted {
  xid: string;
  /** Undefined: this reader has not seen it prepared, and looks for it before `end`. */
  place: LogPlace | undefined;
  end: LogPlace;
  baseline: Baseline;
}

/** Gives out the rows of a prepared transaction, in parts. Resolves to false when the log no longer has them. */
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

  /** Gives a prepared transaction out and forgets it: its end has come. */
  take(xid: string): Prepared | undefined {
    const found = this.#prepared.get(xid);
    this.#prepared.delete(xid);
    this.#bytes -= found?.bytes ?? 0;
    return found;
  }
}

const xidInText = /X'([0-9a-f]*)',X'([0-9a-f]*)',(\d+)/i;

/** The xid of a logged XA statement, `X'61',X'62',7`: both servers write it in this form. Throws a RangeError without one. */
export function readXid(statement: string): string {
  const found = xidInText.exec(statement);
  if (!found) throw new RangeError('an XA statement without an xid');
  return formatXid(found[1]!, found[2]!, Number(found[3]));
}

function formatXid(gtrid: string, bqual: string, format: number): string {
  return `X'${gtrid.toLowerCase()}',X'${bqual.toLowerCase()}',${format}`;
}

/** XA_PREPARE_LOG_EVENT: one phase or two, format id, lengths of the two parts, the parts (XA_prepare_event of both servers). */
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

import type { ParentRows } from '../../foreign-key/parent-rows.ts';
import type { LogEvent } from '../../protocol/log-event.ts';
import type { LogPlace, TransactionPart } from '../../types.ts';
import type { AssemblerOptions } from '../assembler-options.ts';
import { lostPrepared, PreparedTransactions, readXaPrepare } from './prepared-transactions.ts';
import type { RowBuffer } from '../row-buffer.ts';
import type { SchemaHistory } from '../schema-history.ts';

/** Rows of an XA transaction that must be read again: those prepared under an xid, from a place if it is known. */
export interface RowsToReread {
  xid: string;
  place: LogPlace | undefined;
}

interface XaOptions extends Pick<AssemblerOptions, 'givesPrepared' | 'rereadPrepared'> {
  rows: RowBuffer;
  shown: SchemaHistory;
  parents: ParentRows | undefined;
}

/** The rows of XA transactions: kept from XA PREPARE until they commit, or read again at the commit. */
export class XaRows {
  readonly #options: XaOptions;
  readonly prepared = new PreparedTransactions();
  /** Parents of the prepared group that the current transaction commits. */
  #parents: TransactionPart['parents'];

  constructor(options: XaOptions) {
    this.#options = options;
  }

  /** Parents of the prepared group that the current transaction commits, for its last part. */
  get parents(): Pick<TransactionPart, 'parents'> {
    return this.#parents ? { parents: this.#parents } : {};
  }

  /** Whether the rows of a group that begins with XA START wait for its commit. */
  get waits(): boolean {
    return this.#options.givesPrepared === undefined;
  }

  /**
   * Handles the end of an XA transaction's rows: XA COMMIT … ONE PHASE commits them at once, XA PREPARE leaves the outcome open.
   * Returns what must be read again. `place` is the start of the group.
   */
  prepare(event: LogEvent, place: LogPlace): RowsToReread | undefined {
    const { givesPrepared, rows, parents } = this.#options;
    const { xid, isOnePhase } = readXaPrepare(event);
    if (givesPrepared !== undefined && givesPrepared !== xid) throw lostPrepared();
    if (isOnePhase) return rows.isDropped ? { xid, place } : undefined;
    if (!this.waits) return undefined;
    const { rows: held, bytes } = rows.content;
    this.prepared.add(xid, {
      place,
      rows: rows.isDropped ? undefined : held,
      bytes,
      parents: parents?.take().parents,
    });
    this.reset();
    return undefined;
  }

  /** Handles XA COMMIT: the rows prepared under the xid belong to this transaction. Returns what must be read again. */
  commit(xid: string, isWaived: boolean): RowsToReread | undefined {
    const prepared = this.prepared.take(xid);
    if (isWaived) return undefined;
    if (prepared?.rows) {
      this.#options.rows.replace(prepared.rows, prepared.bytes);
      this.#parents = prepared.parents;
      return undefined;
    }
    return this.#options.rereadPrepared && { xid, place: prepared?.place };
  }

  /** Rereads rows as part of the current transaction, which begins at `end`. Throws a CaptureFault when the log lacks them. */
  async reread(found: RowsToReread, { id, end }: { id: string; end: LogPlace }): Promise<void> {
    const { rereadPrepared, rows, shown } = this.#options;
    this.reset();
    const isWhole = await rereadPrepared?.({ ...found, end, baseline: shown.known }, (part) => {
      this.#parents = part.parents;
      rows.passOn(id, part);
    });
    if (!isWhole) throw lostPrepared();
  }

  /** Forgets what was collected for the current transaction. */
  reset(): void {
    this.#options.rows.reset();
    this.#options.parents?.forget();
    this.#parents = undefined;
  }
}

import type { ParentReading } from '../foreign-key/parent-rows.ts';
import type { Halt } from '../halt.ts';
import type { RereadPrepared } from './xa/prepared-transactions.ts';
import type { StatementPolicy } from '../statement/statement-policy.ts';
import type { TableMapContext } from '../decode/table-map.ts';
import type { ExecutedGtidsOptions } from '../gtid/executed-gtids.ts';
import type { TransactionTimeOptions } from './transaction-time.ts';
import type { Baseline, TransactionPart } from '../types.ts';

/** The inputs of a TransactionAssembler, and the receiver of its parts. */
export interface AssemblerOptions extends TableMapContext, TransactionTimeOptions, ExecutedGtidsOptions {
  /** The log was requested by file and offset, although the position has GTIDs. */
  byFile?: boolean;
  statements: StatementPolicy;
  /** Transactions whose loss the operator has accepted on record: they are skipped completely. */
  waived: ReadonlySet<string>;
  /**
   * Watched columns and their kinds as last seen before the position. If a column was removed or its kind changed, the stream stops.
   * Changes are returned with the commit, and stored in the checkpoint.
   */
  baseline: Baseline;
  /**
   * For a scan of the log: called with each unreadable transaction, which is then skipped as if its loss were accepted; parts already
   * emitted for it do not count. If omitted, such a transaction ends the stream.
   */
  onUnreadable?(halt: Halt): void;
  /** Parents whose cascades are reported if the log does not show them; if omitted, no parent is checked. */
  parents?: ParentReading;
  /** Called at an XA COMMIT whose rows are not in memory. If omitted, such rows stop the stream. */
  rereadPrepared?: RereadPrepared;
  /** The xid whose rows are emitted at XA PREPARE, because its XA COMMIT has already been read. */
  givesPrepared?: string;
  emit(part: TransactionPart): void;
  /** Returns a promise while the buffer that receives the parts is full. */
  room(): Promise<void> | undefined;
}

/** The options needed to decode rows: properties of the server and its tables. */
export type DecodingOptions = Pick<
  AssemblerOptions,
  'flavour' | 'charsetOf' | 'columnsOf' | 'namedIn' | 'hintsOf'
>;

/** The options that the caller of a reader sets. */
export interface ReaderOptions
  extends
    DecodingOptions,
    Pick<
      AssemblerOptions,
      | 'hasShortTimestamps'
      | 'waived'
      | 'baseline'
      | 'onUnreadable'
      | 'parents'
      | 'ownSchema'
      | 'byFile'
      | 'trustedFile'
    > {}

import type { ParentReading } from '../foreign-key/parent-rows.ts';
import type { Halt } from '../halt.ts';
import type { RereadPrepared } from './xa/prepared-transactions.ts';
import type { StatementPolicy } from '../statement/statement-policy.ts';
import type { TableMapContext } from '../decode/table-map.ts';
import type { ExecutedGtidsOptions } from '../gtid/executed-gtids.ts';
import type { TransactionTimeOptions } from './transaction-time.ts';
import type { Baseline, TransactionPart } from '../types.ts';

/** What a TransactionAssembler needs to know, and where its parts go. */
export interface AssemblerOptions extends TableMapContext, TransactionTimeOptions, ExecutedGtidsOptions {
  /** The log was asked for by file and offset, although the position has GTIDs. */
  byFile?: boolean;
  statements: StatementPolicy;
  /** Transactions whose loss the operator has accepted on record: passed over whole. */
  waived: ReadonlySet<string>;
  /**
   * Watched columns and their kinds as last seen before the position. A column that is gone, or changed its
   * kind, stops the stream. Changes are returned with the commit, for the checkpoint to keep.
   */
  baseline: Baseline;
  /**
   * For a scan of the log: called with each transaction that cannot be read, which is then passed over as if its loss were
   * accepted; what was emitted of it before does not count. Without it such a transaction ends the stream.
   */
  onUnreadable?(halt: Halt): void;
  /** Parents whose cascades are reported where the log does not show them; without it none is looked at. */
  parents?: ParentReading;
  /** At an XA COMMIT whose rows are not in memory. Without it such rows stop the stream. */
  rereadPrepared?: RereadPrepared;
  /** The xid whose rows are given out where they were prepared: its XA COMMIT has been read already. */
  givesPrepared?: string;
  emit(part: TransactionPart): void;
  /** A promise while the buffer behind `emit` is full. */
  room(): Promise<void> | undefined;
}

/** Of these, what must be known of the server and its tables to decode rows. */
export type DecodingOptions = Pick<
  AssemblerOptions,
  'flavour' | 'charsetOf' | 'columnsOf' | 'namedIn' | 'hintsOf'
>;

/** Of these, what the caller of a reader decides. */
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

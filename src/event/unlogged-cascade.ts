import type { LogPlace } from '../binlog/types.ts';
import { formatTimestamp } from './body.ts';
import { createSystemEvent } from './system-events.ts';
import type { DomainEvent } from './types.ts';

/** What `entity.table` of these events says in the log: the key is the parent's name. */
export const cascadeEntity = 'foreign_keys';

export interface UnloggedCascade {
  installation: string;
  lineage: string;
  transactionId: string;
  committedAtMs: number;
  /** The end of the transaction. */
  position: LogPlace;
  /** The parent, with its schema where that is not the watched one. */
  table: string;
  operation: 'delete' | 'update';
  /** Watched tables of which rows may have been deleted or changed. */
  children: readonly string[];
}

/** The event `capture.unlogged_cascade`: one for each transaction, parent and operation, with the same id after a re-read. */
export function createUnloggedCascade(cascade: UnloggedCascade): DomainEvent {
  const { installation, lineage, transactionId, committedAtMs, position, table, operation, children } =
    cascade;
  return createSystemEvent({
    type: 'capture.unlogged_cascade',
    installation,
    occasion: [lineage, transactionId, table, operation],
    occurredAtMs: committedAtMs,
    entity: { table: cascadeEntity, key: table },
    data: {
      table,
      operation,
      children,
      transaction: transactionId,
      position: { file: position.file, offset: position.offset },
      timestamp: formatTimestamp(committedAtMs),
    },
  });
}

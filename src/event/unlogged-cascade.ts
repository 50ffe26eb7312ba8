import type { LogPlace } from '../binlog/types.ts';
import { formatTimestamp } from './body.ts';
import { createSystemEvent } from './system-events.ts';
import type { DomainEvent } from './types.ts';

/** `entity.table` of these events in the log; `entity.key` is the parent's name. */
export const cascadeEntity = 'foreign_keys';

export interface UnloggedCascade {
  installation: string;
  lineage: string;
  transactionId: string;
  committedAtMs: number;
  /** The end of the transaction. */
  position: LogPlace;
  /** The parent table, with its schema if it is not the watched schema. */
  table: string;
  operation: 'delete' | 'update';
  /** Watched tables whose rows may have been deleted or changed. */
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

import { readTableId, rowOp } from '../decode/read-rows.ts';
import { ParentRows } from '../foreign-key/parent-rows.ts';
import { ExecutedGtids } from '../gtid/executed-gtids.ts';
import { readTransactionStart, type TransactionStart } from '../gtid/read-gtid.ts';
import { haltedAt, undecodable, type HaltError } from '../halt.ts';
import { eventType, maySuspend } from '../protocol/event-type.ts';
import { copyLogEvent, type LogEvent } from '../protocol/log-event.ts';
import { isSkipped, unreadableEvent } from '../protocol/unreadable-event.ts';
import { isPlainBegin } from '../statement/read-statement.ts';
import type { LogPlace, Position, TransactionPart } from '../types.ts';
import { addRows, type RowTarget } from './add-rows.ts';
import type { AssemblerOptions } from './assembler-options.ts';
import { beginGroup, endGroup, type Group } from './group.ts';
import { LogCursor } from './log-cursor.ts';
import { isForNextReader } from './stale-schema.ts';
import type { PreparedTransactions } from './xa/prepared-transactions.ts';
import { RowBuffer } from './row-buffer.ts';
import { SchemaHistory } from './schema-history.ts';
import { StatementFollower, type StatementEffect } from './statement-effect.ts';
import { TableCache } from './table-cache.ts';
import { TransactionTime } from './transaction-time.ts';
import { unpack } from './unpack.ts';
import { XaRows, type RowsToReread } from './xa/xa-rows.ts';

/*
 * Assembles the events of the log into transactions:
 *
 *            gtid                 BEGIN, rows                    xid, COMMIT
 *   idle ───────────▶ started ───────────────▶ open ───────────────────────▶ idle (a part with its commit)
 *                        │                       │ rows beyond PART_BYTES ─▶ open (a part without one)
 *                        └─ definition statement ┴───────────────────────────▶ idle (its tables in `ddl`)
 *
 * Throws a HaltError, with the position before the transaction, if anything cannot be read with certainty; a StaleSchemaError if
 * another reader can read it.
 */

export class TransactionAssembler {
  readonly #options: AssemblerOptions;
  readonly #cursor: LogCursor;
  readonly #gtids: ExecutedGtids;
  readonly time: TransactionTime;
  readonly #tables: TableCache;
  readonly #rows: RowBuffer;
  readonly #shown: SchemaHistory;
  readonly #parents: ParentRows | undefined;
  readonly #into: RowTarget;
  readonly #statements: StatementFollower;
  readonly #xa: XaRows;
  #group: Group;
  /** Position after the last complete transaction. */
  #committed: Position;
  /** Place of an event between two transactions that cannot be skipped. */
  #alone = '';

  constructor(options: AssemblerOptions) {
    const { position, baseline, byFile, gtidSet, statements, columnsOf } = options;
    this.#options = options;
    this.#cursor = new LogCursor(position, { byOffset: byFile || gtidSet === null });
    this.#gtids = new ExecutedGtids(options);
    this.time = new TransactionTime(options);
    const shown = (this.#shown = new SchemaHistory(baseline));
    const parents = (this.#parents = options.parents && new ParentRows(options.parents, options));
    const rows = (this.#rows = new RowBuffer(options.emit));
    const tables = (this.#tables = new TableCache({ context: options, shown, time: this.time, parents }));
    this.#into = { tables, rows, parents };
    this.#statements = new StatementFollower({ statements, columnsOf, rows, shown, parents });
    this.#xa = new XaRows({ ...options, rows, shown, parents });
    this.#group = endGroup({ startedAt: position, isStandalone: false });
    this.#committed = position;
  }

  get prepared(): PreparedTransactions {
    return this.#xa.prepared;
  }

  /** The place up to which events were received. */
  get place(): LogPlace {
    return this.#cursor.place;
  }

  /**
   * Receives the next event of the stream. Returns a promise if the next event must wait: for a large compressed transaction, for rows
   * of an XA transaction that are read again, or for a statement about which the source is queried. Throws a HaltError, a
   * StaleSchemaError, or a retryable AppError. The bytes of the event are not read after the call returns.
   */
  handle(arrived: LogEvent): void | Promise<void> {
    const event = maySuspend.has(arrived.type) ? copyLogEvent(arrived) : arrived;
    const startOffset = this.#cursor.place.offset;
    this.#cursor.advance(event, this.#group.isOpen);
    if (this.#cursor.skips(event)) return;
    try {
      return this.#take(event, startOffset)?.catch((error: unknown) =>
        this.#recover(error, event, startOffset),
      );
    } catch (error) {
      this.#recover(error, event, startOffset);
    }
  }

  #recover(error: unknown, event: LogEvent, startOffset: number): void {
    if (isForNextReader(error)) throw error;
    this.#passOver(this.#halted(error, event), () => void this.#take(event, startOffset));
  }

  #take(event: LogEvent, startOffset: number): void | Promise<void> {
    const isWhole = event.type === eventType.transactionPayload;
    return isWhole ? this.#unpack(event) : this.#dispatch(event, startOffset);
  }

  /** In a scan of the log, continues after the transaction: `again` handles the event again as part of a waived transaction. */
  #passOver(error: HaltError, again: () => void): void {
    const { onUnreadable } = this.#options;
    const { transactionId, reason } = error.halt;
    // A definition affects everything after it, so it is never skipped.
    if (!onUnreadable || transactionId === null || reason === 'column-changed') throw error;
    onUnreadable(error.halt);
    if (this.#group.id === '') return;
    this.#group.isWaived = true;
    this.#xa.reset();
    again();
  }

  #dispatch(event: LogEvent, startOffset: number): void | Promise<void> {
    const op = rowOp(event.type);
    if (op) {
      addRows(event, op, this.#group, this.#into);
      return;
    }
    switch (event.type) {
      case eventType.tableMap:
        this.#group.isOpen = true;
        this.#tables.map(event, this.#group.isWaived);
        return;
      case eventType.gtid:
      case eventType.anonymousGtid:
      case eventType.gtidTagged:
      case eventType.mariadbGtid:
        this.#start(readTransactionStart(event), startOffset, event);
        return;
      case eventType.xid:
        this.#commit(event);
        return;
      case eventType.query:
      case eventType.mariadbQueryCompressed:
        return this.#statement(event);
      case eventType.rotate:
        this.#cursor.rotate(event);
        return;
      case eventType.formatDescription:
        this.#tables.beginFile(event);
        this.#cursor.begin(event);
        this.time.beginFile(event);
        return;
      case eventType.mariadbGtidList:
        this.#gtids.requireDomains(event, this.#cursor.place.file);
        return;
      case eventType.xaPrepare:
        return this.#commitXa(event, this.#xa.prepare(event, this.#group.startedAt));
      default:
        return this.#other(event);
    }
  }

  #other(event: LogEvent): void | Promise<void> {
    if (event.type === eventType.executeLoadQuery) return this.#statement(event);
    if (isSkipped(event)) return;
    if (event.type === eventType.partialUpdateRows) {
      if (this.#group.isWaived || !this.#tables.get(readTableId(event))?.table) return;
    } else if (this.#isWaived(event)) return;
    throw unreadableEvent(event.type);
  }

  /** Whether the loss of an event's transaction, or of the event itself if it stands alone, was accepted. */
  #isWaived(event: LogEvent): boolean {
    const { id, isWaived } = this.#group;
    if (id !== '') return isWaived;
    const { file, offset } = this.#cursor.place;
    this.#alone = `${file}:${offset - event.size}`;
    return this.#options.waived.has(this.#alone);
  }

  #start(start: TransactionStart, offset: number, event: LogEvent): void {
    if (this.#group.isOpen && !this.#rows.isEmpty)
      throw undecodable('a transaction began before the one before it ended');
    // A group without a commit marker (an incident, a statement without effect) ends where the next group begins.
    this.#gtids.add(this.#group.gtid);
    const group = beginGroup(start, this.#cursor.eventPlace, offset);
    this.time.begin(start, event, group.startedAt);
    this.#tables.limit();
    group.isWaived = this.#options.waived.has(group.id);
    group.isXa = start.prepares && this.#xa.waits;
    this.#group = group;
    this.#xa.reset();
  }

  #commit(event: LogEvent, ddl: readonly string[] = [], isUndone = false): void {
    this.#gtids.add(this.#group.gtid);
    this.#committed = this.#cursor.position(this.#gtids.text);
    const baseline = this.#shown.takeChange();
    const { endOfTime } = this.#tables;
    const part: TransactionPart = {
      id: this.#group.id,
      ...this.#rows.content,
      commit: {
        position: this.#committed,
        ...this.time.at(event),
        passedMs: this.time.passedMs,
        ...(baseline === undefined ? {} : { baseline }),
      },
      ddl,
      ...this.#parents?.take(),
      ...this.#xa.parents,
      ...(endOfTime !== undefined && { endOfTime }),
      ...(isUndone && { isUndone }),
      ...(this.time.isOwn && { isOwn: true }),
    };
    this.#group = endGroup(this.#group);
    this.#xa.reset();
    this.#options.emit(part);
  }

  #statement(event: LogEvent): void | Promise<void> {
    if (isPlainBegin(event)) {
      this.#group.isOpen = true;
      return;
    }
    const around = { isWaived: this.#group.isWaived, committed: this.#committed };
    const effect = this.#statements.follow(event, around);
    if (effect instanceof Promise) return effect.then((settled) => this.#apply(event, settled));
    return this.#apply(event, effect);
  }

  #apply(event: LogEvent, effect: StatementEffect): void | Promise<void> {
    const group = this.#group;
    switch (effect.kind) {
      case 'none':
        return;
      case 'open':
        group.isOpen = true;
        if (effect.startsXa) group.isXa = this.#xa.waits;
        return;
      case 'commit':
        this.#commit(event, [], effect.isUndone);
        return;
      case 'xa-commit':
        return this.#commitXa(event, this.#xa.commit(effect.xid, group.isWaived));
      case 'xa-rollback':
        this.prepared.take(effect.xid);
        this.#commit(event);
        return;
      case 'definition':
        // After MySQL's CREATE TABLE … SELECT, rows follow; also after MariaDB's, whose group is then not standalone.
        if (effect.opensTransaction || (group.isOpen && !group.isStandalone)) group.isOpen = true;
        else this.#commit(event, effect.settle());
    }
  }

  /** Commits an XA transaction, after rereading rows that are not in memory. */
  #commitXa(event: LogEvent, missing: RowsToReread | undefined): void | Promise<void> {
    if (missing) return this.#commitReread(event, missing);
    this.#commit(event);
  }

  async #commitReread(event: LogEvent, missing: RowsToReread): Promise<void> {
    try {
      await this.#xa.reread(missing, { id: this.#group.id, end: this.#group.startedAt });
      this.#commit(event);
    } catch (error) {
      if (isForNextReader(error)) throw error;
      this.#passOver(this.#halted(error, event), () => this.#commit(event));
    }
  }

  #unpack(event: LogEvent): void | Promise<void> {
    if (this.#group.isWaived) {
      this.#commit(event);
      return;
    }
    return unpack(event, {
      handle: (each) => this.#dispatch(each, this.#cursor.place.offset),
      room: () => this.#options.room(),
    });
  }

  #halted(error: unknown, event: LogEvent): HaltError {
    const id = this.#group.id === '' ? this.#alone : this.#group.id;
    const { committedAtMs } = this.time.at(event);
    return haltedAt(error, this.#committed, { id, committedAtMs });
  }
}

import type { TableMapContext } from '../decode/table-map.ts';
import type { ParentRows } from '../foreign-key/parent-rows.ts';
import type { LogEvent } from '../protocol/log-event.ts';
import type { LoggedStatement } from '../statement/read-statement.ts';
import type { StatementPolicy } from '../statement/statement-policy.ts';
import type { Position } from '../types.ts';
import { readXid, startsXa } from './xa/prepared-transactions.ts';
import type { RowBuffer } from './row-buffer.ts';
import type { SchemaHistory } from './schema-history.ts';

/** The effect of a statement on the current transaction, after its rows and tables were followed. */
export type StatementEffect =
  | { kind: 'none' }
  | { kind: 'open'; startsXa: boolean }
  /** `isUndone`: the parts already emitted were rolled back. */
  | { kind: 'commit'; isUndone: boolean }
  | { kind: 'xa-commit'; xid: string }
  | { kind: 'xa-rollback'; xid: string }
  /** `settle`: call it if the statement ends the transaction; returns the watched tables that the statement names. */
  | { kind: 'definition'; settle: () => readonly string[]; opensTransaction: boolean };

export interface StatementOptions {
  statements: StatementPolicy;
  columnsOf: TableMapContext['columnsOf'];
  rows: RowBuffer;
  shown: SchemaHistory;
  parents: ParentRows | undefined;
}

/** The transaction that a statement belongs to. */
interface Surroundings {
  /** Its loss is accepted. */
  isWaived: boolean;
  /** The position after the previous transaction. */
  committed: Position;
}

/** Follows the statements of the log: definitions and rollbacks. */
export class StatementFollower {
  readonly #options: StatementOptions;

  constructor(options: StatementOptions) {
    this.#options = options;
  }

  /** Throws a CaptureFault for a statement that must stop the reader. Returns a promise if the source must be queried about it. */
  follow(event: LogEvent, around: Surroundings): StatementEffect | Promise<StatementEffect> {
    const { statements, rows } = this.#options;
    const statement = statements.read(event);
    switch (statement.effect) {
      case 'begin':
      case 'control':
        return { kind: 'open', startsXa: startsXa(statement.text()) };
      case 'savepoint':
        rows.setSavepoint(statements.savepointOf(statement));
        return { kind: 'open', startsXa: false };
      case 'commit':
      case 'xa-prepare':
        return { kind: 'commit', isUndone: false };
      case 'xa-commit':
      case 'xa-rollback':
        return { kind: statement.effect, xid: readXid(statement.text()) };
      case 'rollback':
        return this.#whenUndone(around, () => this.#rollBack());
      case 'rollback-to':
        return this.#whenUndone(around, () => {
          rows.rollBackTo(statements.savepointOf(statement));
          return { kind: 'none' };
        });
      default:
        return this.#define(statement, around);
    }
  }

  #rollBack(): StatementEffect {
    const { rows, parents } = this.#options;
    parents?.forgetRows();
    rows.empty();
    return { kind: 'commit', isUndone: rows.hasLeft };
  }

  /**
   * Rows before a ROLLBACK do not exist: MariaDB logs them, and the ROLLBACK, if the transaction created or dropped a temporary table.
   * Rows of non-transactional tables are in a separate group, which is verified here.
   */
  #whenUndone(
    { isWaived }: Surroundings,
    undo: () => StatementEffect,
  ): StatementEffect | Promise<StatementEffect> {
    const { rows, statements } = this.#options;
    if (isWaived || rows.isEmpty) return undo();
    return statements.requireUndone(rows.tables()).then(undo);
  }

  #define(
    statement: LoggedStatement,
    { isWaived, committed }: Surroundings,
  ): StatementEffect | Promise<StatementEffect> {
    const { statements, parents, shown, columnsOf } = this.#options;
    statements.note(statement);
    const { schema, effect, text, opensTransaction } = statement;
    if (effect === 'definition' || effect === 'reference') parents?.define({ schema, text: text() });
    const pending = isWaived ? undefined : statements.refuse(statement, committed);
    const named = statements.definedTables(statement);
    const follow = (): StatementEffect => {
      shown.follow(statements.definitionsOf(statement), { isAccepted: isWaived, columnsOf });
      const settle = (): string[] => (isWaived ? this.#forgetReplaced(statement, named) : named);
      return { kind: 'definition', settle, opensTransaction };
    };
    return pending ? pending.then(follow) : follow();
  }

  /** Forgets replaced tables after their loss was accepted. Returns the named tables that still exist. */
  #forgetReplaced(statement: LoggedStatement, tables: string[]): string[] {
    const { statements, shown } = this.#options;
    const replaced = statements.replacedTables(statement);
    if (!replaced) return tables;
    shown.forget(replaced.isReplaced);
    return tables.filter((name) => !replaced.isGone(name));
  }
}

import type { EndOfTime } from '../decode/system-versioning.ts';
import { ByteReader } from '../protocol/byte-reader.ts';
import { CaptureFault } from '../halt.ts';
import type { LogEvent } from '../protocol/log-event.ts';
import { readRows, ROWS_FLAG } from '../decode/read-rows.ts';
import { readTableMap, readTableName, type MappedTable } from '../decode/table-map.ts';
import type { Flavour, KeyDefinition, ParentChange, RowEvent, RowOp, TransactionPart } from '../types.ts';
import type { Parent } from './cascade-reach.ts';
import { findKeyDefinition } from './key-definition.ts';

/** Finds the parents of watched tables through foreign keys with an action. */
export interface ParentReading {
  parentOf(schema: string, table: string): Parent | undefined;
  /** Whether a schema contains a table whose keys are known. */
  concerns(schema: string): boolean;
}

/** A parent as described by one table map. */
export interface MappedParent {
  schema: string;
  table: string;
  parent: Parent;
  /** Reads only the referenced columns; null if the table map does not determine how. */
  probe: MappedTable | null;
}

export interface ParentRowsContext {
  flavour: Flavour;
  charsetOf(collation: number): string | undefined;
}

/**
 * Collects, for one transaction, the parents whose rows were deleted or whose referenced columns changed while the server ran foreign
 * key actions without logging them. It keeps no row data.
 */
export class ParentRows {
  readonly #reading: ParentReading;
  readonly #context: ParentRowsContext;
  #changes = new Map<string, ParentChange>();
  #definition: KeyDefinition | null = null;

  constructor(reading: ParentReading, context: ParentRowsContext) {
    this.#reading = reading;
    this.#context = context;
  }

  /** Takes a definition statement. */
  define({ schema, text }: { schema: string; text: string }): void {
    const words = text.match(/[\p{L}\p{N}_$-]+/gu) ?? [];
    const concerns = [schema, ...words].some((name) => this.#reading.concerns(name));
    this.#definition = concerns ? findKeyDefinition(text) : null;
  }

  /** Returns which columns to read from the rows of a table map's table; null if the table is not a parent. */
  map(event: LogEvent, endOfTime: EndOfTime | undefined): MappedParent | null {
    const at = event.bodyStart + 8;
    const { schema, table } = readTableName(new ByteReader(event.buffer, at, event.bodyEnd));
    const parent = this.#reading.parentOf(schema, table);
    if (!parent) return null;
    const needsRows = parent.columns.size > 0 || parent.rowEnd !== null;
    const probe = needsRows
      ? this.#probe(new ByteReader(event.buffer, at, event.bodyEnd), parent, endOfTime)
      : null;
    return { schema, table, parent, probe };
  }

  #probe(
    reader: ByteReader,
    { columns, rowEnd }: Parent,
    endOfTime: EndOfTime | undefined,
  ): MappedTable | null {
    try {
      return readTableMap(
        reader,
        {
          ...this.#context,
          columnsOf: () => columns,
          hintsOf: () => ({
            types: new Map(),
            fractions: new Map(),
            plainColumns: rowEnd === null ? 'any' : null,
          }),
        },
        endOfTime,
      );
    } catch (error) {
      if (error instanceof CaptureFault) return null;
      throw error;
    }
  }

  /** Takes a rows event of a parent. */
  add(event: LogEvent, op: RowOp, mapped: MappedParent): void {
    const { parent } = mapped;
    if (op === 'insert' || (event.buffer.readUInt16LE(event.bodyStart + 6) & ROWS_FLAG.noSilentCascade) !== 0)
      return;
    if (op === 'delete') {
      if (parent.deletes) this.#note(mapped, 'delete', []);
      return;
    }
    if (parent.columns.size === 0 && parent.rowEnd === null) return;
    const rows = mapped.probe && readOrNull(event, mapped.probe);
    if (!rows) {
      this.#noteUncertain(mapped);
      return;
    }
    for (const row of rows) {
      if (row.op === 'delete' && parent.deletes) this.#note(mapped, 'delete', []);
      if (row.op === 'update') this.#note(mapped, 'update', changedColumns(parent, row));
    }
  }

  /** The columns cannot be read: any of them may have changed, and the row may have ended. */
  #noteUncertain(mapped: MappedParent): void {
    const { columns, deletes, rowEnd } = mapped.parent;
    this.#note(mapped, 'update', [...columns]);
    if (rowEnd !== null && deletes) this.#note(mapped, 'delete', []);
  }

  #note({ schema, table }: MappedParent, op: ParentChange['op'], columns: readonly string[]): void {
    if (op === 'update' && columns.length === 0) return;
    const key = `${op} ${schema}.${table}`;
    const known = this.#changes.get(key);
    const all = new Set([...(known?.columns ?? []), ...columns]);
    if (known?.columns.length === all.size) return;
    this.#changes.set(key, { schema, table, op, columns: [...all].toSorted() });
  }

  forgetRows(): void {
    if (this.#changes.size > 0) this.#changes = new Map();
  }

  forget(): void {
    this.forgetRows();
    this.#definition = null;
  }

  /** Returns and clears the collected changes at the end of the transaction. */
  take(): Pick<TransactionPart, 'parents' | 'definition'> {
    const taken = {
      ...(this.#changes.size > 0 && { parents: [...this.#changes.values()] }),
      ...(this.#definition && { definition: this.#definition }),
    };
    this.forget();
    return taken;
  }
}

/** Null if the rows cannot be read: a parent need not be watched, so this does not stop capture. */
function readOrNull(event: LogEvent, probe: MappedTable): RowEvent[] | null {
  try {
    return readRows(event, 'update', probe);
  } catch (error) {
    if (error instanceof RangeError || error instanceof CaptureFault) return null;
    throw error;
  }
}

/** Returns the columns whose value changed in an update. A column absent from the after image did not change. */
function changedColumns({ columns }: Parent, { table, before, after }: RowEvent): string[] {
  return [...columns].filter((name) => {
    const index = table.indexOf.get(name);
    const value = index === undefined ? undefined : after?.[index];
    return value !== undefined && !isSame(value, before?.[index!]);
  });
}

function isSame(a: unknown, b: unknown): boolean {
  return a instanceof Uint8Array && b instanceof Uint8Array ? Buffer.compare(a, b) === 0 : a === b;
}

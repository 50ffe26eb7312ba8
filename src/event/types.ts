import type { JsonValue } from '../lib/exact-json.ts';
import type { Cell, Row, Watch } from '../binlog/types.ts';
import type { Change } from '../change/types.ts';
import type { FieldShape } from './mapping/field-shape.ts';
import type { Sibling } from './rule/rule.ts';

/** A change in the clinic's terms, ready to be sent. */
export interface DomainEvent {
  /** `evt_` + 32 hex characters: a pure function of the binlog. */
  id: string;
  type: string;
  /** Commit time, milliseconds since 1970 UTC. */
  occurredAtMs: number;
  /** For order and search: the source table and the key column's value. */
  entity: { table: string; key: string };
  /** The primary key of the changed row, as text; absent for a system event. */
  rowKey?: string;
  /** The clinic's number of the patient whose data the event carries; null if it is about no patient. */
  subject: string | null;
  /** The body of every delivery: `{"event":…,"timestamp":…,"data":…}`, rendered once. */
  body: string;
  data: Readonly<Record<string, JsonValue>>;
  /** Columns of the changed row that were absent from the binlog and were read from the source later: their values may be newer. */
  readLate?: readonly string[];
  /** A column of the changed row (after, otherwise before) as JSON; undefined if the table lacks it. For webhook filters. */
  column(name: string): JsonValue;
}

/** A query to the source whose result a rule needs to render its event. */
export interface Lookup {
  /** Table name, in the source's schema. */
  table: string;
  /** Column → value that the rows must have. */
  by: Readonly<Record<string, string | number>>;
  /** Columns to return. */
  select: readonly string[];
  /** One row (a parent) or all rows in primary-key order (children). */
  many: boolean;
}

/** Rows that a lookup found, each value as a binlog Cell (see binlog/types.ts) by lower-case column name. */
export type LookupRows = readonly Readonly<Record<string, string | number | Uint8Array | null>>[];

/** Queries the source. `createRowLookup` tries the rows of the same transaction first, and calls this for the others. */
export type ResolveLookup = (lookup: Lookup) => Promise<LookupRows>;

export interface MapContext {
  /** Distinguishes histories of the source: part of every event id. */
  lineage: string;
  transactionId: string;
  committedAtMs: number;
  /** Whether the changes are only a part of the transaction, so that related rows may be in another part. */
  isPart?: boolean;
  /** The siblings of the whole transaction (`Rules.gatherSiblings`), if the changes are a part of it. */
  siblings?: Siblings;
  resolve: ResolveLookup;
  /**
   * Reads a changed row again by its key, for a rule that needs a cell that the binlog left out: cells aligned with
   * `change.table.columns`, null if the row is gone. Without this function such a change causes a CaptureFault.
   */
  reread?(change: Change): Promise<Row | null>;
}

/** Rows that the transaction wrote and that rules look up with the source `sibling`. */
export interface Siblings {
  /** Notes changes of the transaction, in any order. */
  add(changes: readonly Change[]): Promise<void>;
  /**
   * The cells of the columns of `select`, if all rows that match `cells` (the values of `by`) agree in them; null if there is no such row,
   * or if the rows differ. Throws a CaptureFault if the result depends on a cell that a row's image lacks and that cannot be read again.
   */
  find(sibling: Sibling, cells: readonly Cell[]): Promise<Row | null>;
}

export interface EventTypeInfo {
  type: string;
  /** The tables of its rules, joined by commas. */
  table: string;
  /** The rule in words, for `events list`. */
  rule: string;
  /** Payload fields in order. */
  fields: readonly string[];
}

/** An event type of rules that were compiled against a schema. */
export interface CompiledEventType extends EventTypeInfo {
  /** The kinds of values of each field, and of each lower-case column of the changed row: one entry for each kind. */
  shapes: ReadonlyMap<string, readonly FieldShape[]>;
}

/** A rules file compiled against the live schema. */
export interface Rules {
  watch: Watch;
  /** The names in the rules and the filters, by table, whether or not the schema has them. A column that is only named counts as unread. */
  named: Watch;
  types: readonly CompiledEventType[];
  /** Messages about columns and tables that this clinic lacks, one sentence each. */
  warnings: readonly string[];
  /**
   * Maps a transaction's net changes to events, in the catalogue's order for each change. Throws a CaptureFault if a rule depends
   * on a cell that the binlog left out and that cannot be read again.
   */
  map(changes: readonly Change[], context: MapContext): Promise<DomainEvent[]>;
  /** For a transaction whose changes are mapped in parts: takes all of them before the first part is mapped. */
  gatherSiblings(context: Pick<MapContext, 'reread'>): Siblings;
}

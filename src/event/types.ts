import type { JsonValue } from '../lib/exact-json.ts';
import type { Cell, Row, Watch } from '../binlog/types.ts';
import type { Change } from '../change/types.ts';
import type { FieldShape } from './mapping/field-shape.ts';
import type { Sibling } from './rule/rule.ts';

/** What happened, in the words of the clinic, ready to be sent. */
export interface DomainEvent {
  /** `evt_` + 32 hex characters: a pure function of the binlog. */
  id: string;
  type: string;
  /** Commit time, milliseconds since 1970 UTC. */
  occurredAtMs: number;
  /** For order and search: the source table and the key column's value. */
  entity: { table: string; key: string };
  /** The primary key of the changed row, as text; not there for an event of our own. */
  rowKey?: string;
  /** The patient whose data it carries, by number as the clinic has it; null when it is about no patient. */
  subject: string | null;
  /** The body of every delivery: `{"event":…,"timestamp":…,"data":…}`, rendered once. */
  body: string;
  data: Readonly<Record<string, JsonValue>>;
  /** Columns of the changed row that were not in the log and were read from the source later: they may be of a later moment. */
  readLate?: readonly string[];
  /** A column of the changed row (after, else before) as JSON; undefined when the table lacks it. For webhook filters. */
  column(name: string): JsonValue;
}

/** One question to the source that a rule needs answered before its event can be rendered. */
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

/** Asks the source. The event room tries the same transaction's rows first, and calls this for what is not there. */
export type ResolveLookup = (lookup: Lookup) => Promise<LookupRows>;

export interface MapContext {
  /** Distinguishes histories: part of every event id. */
  lineage: string;
  transactionId: string;
  committedAtMs: number;
  /** Whether the changes are not all of the transaction, so that rows that belong together may be in another part of it. */
  isPart?: boolean;
  /** The siblings of the whole transaction (`Rules.gatherSiblings`), where the changes are a part of it. */
  siblings?: Siblings;
  resolve: ResolveLookup;
  /**
   * Reads a changed row again by its key, for a rule that needs a cell that the log left out: cells aligned with
   * `change.table.columns`, null when the row is gone. Without it such a change is a CaptureFault at once.
   */
  reread?(change: Change): Promise<Row | null>;
}

/** Rows that the transaction wrote and that rules look for by the source `sibling`. */
export interface Siblings {
  /** Notes changes of the transaction, in any order. */
  add(changes: readonly Change[]): Promise<void>;
  /**
   * What all rows that match `cells`, the values of `by`, have in the columns of `select`; null when there is no such row, or when
   * they differ. Throws a CaptureFault when a row's image lacks a cell that this depends on and that cannot be read again.
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
  /** What the fields, and the lower-case columns of the changed row, can have: an entry for each kind of value. */
  shapes: ReadonlyMap<string, readonly FieldShape[]>;
}

/** A rules file compiled against the live schema. */
export interface Rules {
  watch: Watch;
  /** What the rules and the filters name, by table, whether the schema has it or not: what a row may be missed for. */
  named: Watch;
  types: readonly CompiledEventType[];
  /** Columns and tables that this clinic lacks, one sentence each. */
  warnings: readonly string[];
  /**
   * Maps a transaction's net changes to events, in the catalogue's order for each change. Throws a CaptureFault when a rule hangs
   * on a cell that the log left out and that cannot be read again.
   */
  map(changes: readonly Change[], context: MapContext): Promise<DomainEvent[]>;
  /** For a transaction whose changes are mapped in parts: takes all of them before the first part is mapped. */
  gatherSiblings(context: Pick<MapContext, 'reread'>): Siblings;
}

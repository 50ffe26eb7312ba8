import type { Watch } from '../binlog/types.ts';
import type { Change } from '../change/types.ts';

/** A JSON value; DECIMAL is a `JSON.rawJSON` object, so that 500.00 stays 500.00. */
export type JsonValue = unknown;

/** What happened, in the words of the clinic, ready to be sent. */
export interface DomainEvent {
  /** `evt_` + 32 hex characters: a pure function of the binlog. */
  id: string;
  type: string;
  /** Commit time, milliseconds since 1970 UTC. */
  occurredAtMs: number;
  /** For order and search: the source table and the key column's value. */
  entity: { table: string; key: string };
  /** The body of every delivery: `{"event":…,"timestamp":…,"data":…}`, rendered once. */
  body: string;
  data: Readonly<Record<string, JsonValue>>;
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
  resolve: ResolveLookup;
}

export interface EventTypeInfo {
  type: string;
  table: string;
  /** The rule in words, for `events list`. */
  rule: string;
  /** Payload fields in order. */
  fields: readonly string[];
}

/** A rules file compiled against the live schema. */
export interface Rules {
  watch: Watch;
  types: readonly EventTypeInfo[];
  /** Columns and tables that this clinic lacks, one sentence each. */
  warnings: readonly string[];
  /** Maps a transaction's net changes to events, in the catalogue's order for each change. */
  map(changes: readonly Change[], context: MapContext): Promise<DomainEvent[]>;
}

import type { Halt } from '../../binlog/halt.ts';
import type { DomainEvent } from '../../event/types.ts';
import type { JsonValue } from '../../lib/exact-json.ts';

/** Compares the events that new rules would have produced in the past with those of the present rules. */
export interface DryRunReport {
  /** Where reading began and ended: a log file and a time, ISO 8601 in UTC. */
  range: { file: string; since: string; until: string };
  transactions: number;
  /** Net row changes of tables that either list of rules watches. */
  changes: number;
  /** In the order of the new rules, then the events that they no longer have. */
  events: readonly TypeCount[];
  differences: readonly Difference[];
  /** The events of the new rules that one webhook would receive; present when a webhook was named. */
  webhook?: WebhookCount;
  /** Transactions that could not be read; their changes are missing from all counts. */
  halts: readonly HaltInRange[];
  /** Definition statements on watched tables: rows before them are checked by rules compiled for the tables as they are now. */
  definitions: readonly { at: string; transaction: string; tables: readonly string[] }[];
  /** Rows that were looked up in the source: as they are now, not as they were. */
  lookups: number;
  /** Sentences about the range and the rules. */
  warnings: readonly string[];
}

export interface TypeCount {
  event: string;
  present: number;
  new: number;
  same: number;
  changed: number;
  added: number;
  removed: number;
}

export interface WebhookCount {
  name: string;
  /** For each subscribed event type: how many events occurred, and how many pass its filter. */
  events: readonly { event: string; subscribed: number; passed: number }[];
}

export interface HaltInRange extends Pick<Halt, 'reason' | 'message' | 'remedy' | 'table'> {
  transaction: string | null;
}

/** An example of a difference. The values of its data are left out unless requested. */
export interface Difference {
  kind: 'added' | 'removed' | 'changed';
  event: string;
  id: string;
  /** Commit time. */
  at: string;
  table: string;
  key: string;
  /** For a changed event, which fields differ and how; otherwise the fields of its data. */
  fields: readonly string[];
  present?: Readonly<Record<string, JsonValue>>;
  new?: Readonly<Record<string, JsonValue>>;
  /** Data was asked for, and its patient was erased. */
  erased?: true;
}

export interface TallyOptions {
  /** Event types in the order of the report. */
  types: readonly string[];
  /** Examples of each kind of difference for each type. */
  limit: number;
  /** Whether to show the data of an event; null to show none. */
  mayShow: MayShow | null;
}

/** False for an event of a patient who was erased after it. */
export type MayShow = (event: DomainEvent) => boolean;

/** Compares the events of two lists of rules, and keeps a few of the differences. */
export class Tally {
  readonly #options: TallyOptions;
  readonly #counts: Map<string, TypeCount>;
  readonly differences: Difference[] = [];
  /** Whose data the differences show. */
  readonly shownPatients = new Set<string>();

  constructor(options: TallyOptions) {
    this.#options = options;
    this.#counts = new Map(options.types.map((event) => [event, noCount(event)]));
  }

  get counts(): TypeCount[] {
    return [...this.#counts.values()];
  }

  /** Adds the events of both lists for the same changes of one transaction. */
  compare(present: readonly DomainEvent[], next: readonly DomainEvent[]): void {
    const open = new Map(present.map((event) => [identityOf(event), event]));
    for (const event of next) {
      const former = open.get(identityOf(event));
      open.delete(identityOf(event));
      this.#count(former, event);
    }
    for (const event of open.values()) this.#count(event, undefined);
  }

  #count(present: DomainEvent | undefined, next: DomainEvent | undefined): void {
    const event = (next ?? present)!;
    const count = this.#counts.get(event.type)!;
    if (present) count.present += 1;
    if (next) count.new += 1;
    const fields = present && next ? differingFields(present, next) : Object.keys(event.data);
    if (present && next && fields.length === 0) {
      count.same += 1;
      return;
    }
    const kind = !present ? 'added' : next ? 'changed' : 'removed';
    count[kind] += 1;
    if (count[kind] > this.#options.limit) return;
    const { id, occurredAtMs, entity } = event;
    const at = new Date(occurredAtMs).toISOString();
    const data = this.#dataOf(present, next);
    this.differences.push({ kind, event: event.type, id, at, ...entity, fields, ...data });
  }

  #dataOf(
    present: DomainEvent | undefined,
    next: DomainEvent | undefined,
  ): Pick<Difference, 'present' | 'new' | 'erased'> {
    const { mayShow } = this.#options;
    if (mayShow === null) return {};
    const events = [present, next].filter((event) => event !== undefined);
    if (!events.every(mayShow)) return { erased: true };
    for (const { subject } of events) if (subject !== null) this.shownPatients.add(subject);
    return { ...(present && { present: present.data }), ...(next && { new: next.data }) };
  }
}

const noCount = (event: string): TypeCount => ({
  event,
  present: 0,
  new: 0,
  same: 0,
  changed: 0,
  added: 0,
  removed: 0,
});

/** Identifies the same row in the same transaction, even when the rules name its entity differently. */
const identityOf = ({ type, entity, rowKey }: DomainEvent): string =>
  `${type}\0${entity.table}\0${rowKey ?? ''}`;

function differingFields(present: DomainEvent, next: DomainEvent): string[] {
  const differing: string[] = [];
  for (const name of Object.keys(next.data)) {
    if (!Object.hasOwn(present.data, name)) differing.push(`+${name}`);
    else if (JSON.stringify(next.data[name]) !== JSON.stringify(present.data[name]))
      differing.push(`~${name}`);
  }
  for (const name of Object.keys(present.data))
    if (!Object.hasOwn(next.data, name)) differing.push(`-${name}`);
  if (present.entity.key !== next.entity.key) differing.push('~key');
  if (present.subject !== next.subject) differing.push('~subject');
  if (differing.length === 0 && present.body !== next.body) differing.push('order of fields');
  return differing;
}

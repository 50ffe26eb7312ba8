import { isDeepStrictEqual } from 'node:util';
import { HaltError, CaptureFault } from '../../binlog/halt.ts';
import type { PositionAt } from '../../binlog/position/position-at.ts';
import type { Source } from '../../binlog/source/source.ts';
import type { BinlogStream } from '../../binlog/stream.ts';
import { openPastStream, readPast, type ReadingPlace } from '../../binlog/stream/read-past.ts';
import type { Halt } from '../../binlog/halt.ts';
import type { Baseline, Position, RowEvent, Watch } from '../../binlog/types.ts';
import type { Change } from '../../change/types.ts';
import { matchesFilter } from '../../event/filter.ts';
import { matchesPattern } from '../../event/subscription.ts';
import type { DomainEvent, MapContext, Rules } from '../../event/types.ts';
import type { Subscription } from '../../outbox/types.ts';
import { lookupsOf, readingOf, type CompiledSource } from '../compiled-source.ts';
import { Tally, type DryRunReport, type HaltInRange, type MayShow } from './dry-run-report.ts';
import { readTransactions, type Transaction } from '../transaction/read-transactions.ts';
import { createProjection, type Projection } from './projection.ts';

export interface DryRunOptions {
  source: Source;
  /** The rules to try, against the schema as it is now. */
  next: CompiledSource;
  /** The rules in force; null when they do not fit the schema. */
  present: Rules | null;
  from: PositionAt;
  sinceMs: number;
  untilMs: number;
  /** Part of every event id. */
  lineage: string;
  limit: number;
  /** Whether to show the data of an event; null to show none. */
  mayShow: MayShow | null;
  /** Counts the events that this webhook would receive. */
  webhook?: TestedWebhook;
  onProgress(progress: Progress): void;
}

export type TestedWebhook = Pick<Subscription, 'name' | 'events' | 'filter'>;

export interface Progress {
  bytes: number;
  ofBytes: number;
}

/** A report, and whose data it shows. */
export interface DryRunResult {
  report: DryRunReport;
  shownPatients: ReadonlySet<string>;
}

/**
 * Reads past binlog under an identity of its own and maps it by both lists of rules. Nothing is sent and nothing is written,
 * neither at the source nor in the store. Transactions that cannot be read are skipped and reported.
 */
export async function dryRun(options: DryRunOptions): Promise<DryRunResult> {
  const run = new DryRun(options);
  await run.readAll();
  return { report: run.report(), shownPatients: run.shownPatients };
}

/** One list of rules, and the columns that it would have read. */
interface Side {
  rules: Rules;
  projection: Projection;
}

class DryRun {
  readonly #options: DryRunOptions;
  readonly #sides: { present: Side | null; next: Side };
  readonly #watch: Watch;
  readonly #tally: Tally;
  /** By event type that the webhook subscribes to. */
  readonly #sent = new Map<string, { subscribed: number; passed: number }>();
  #halts: HaltInRange[] = [];
  readonly #definitions: DryRunReport['definitions'][number][] = [];
  #transactions = 0;
  #changes = 0;
  #lookups = 0;
  /** Columns that exist only in the log, not in the present schema: they are reported and not read. */
  #beyond: Baseline = {};
  #position: Position;

  constructor(options: DryRunOptions) {
    const { next, present, from, limit, mayShow } = options;
    const side = (rules: Rules): Side => ({ rules, projection: createProjection(rules.watch) });
    this.#options = options;
    this.#sides = { present: present && side(present), next: side(next.rules) };
    this.#watch = union(next.rules.watch, present?.watch ?? new Map());
    const types = [...next.rules.types, ...(present?.types ?? [])].map(({ type }) => type);
    this.#tally = new Tally({ types: [...new Set(types)], limit, mayShow });
    this.#position = from.position;
  }

  async readAll(): Promise<void> {
    const parts = readPast({
      from: { position: this.#options.from.position },
      open: (place) => this.#open(place),
      onPassedOver: (halt) => this.#noteHalt(halt),
    });
    const onRows = (rows: readonly RowEvent[], isFirst: boolean): void => {
      for (const { projection } of this.#both()) {
        if (isFirst) projection.reset();
        projection.note(rows);
      }
    };
    try {
      let lookups = this.#newLookups();
      for await (const transaction of readTransactions(parts, { onRows })) {
        if (!transaction) {
          lookups = this.#newLookups();
          this.#tellProgress();
          continue;
        }
        if (transaction.commit.committedAtMs > this.#options.untilMs) return;
        await this.#mapTransaction(transaction, lookups);
        this.#position = transaction.commit.position;
      }
    } catch (error) {
      if (!(error instanceof HaltError)) throw error;
      this.#noteHalt(error.halt);
    }
  }

  get shownPatients(): ReadonlySet<string> {
    return this.#tally.shownPatients;
  }

  report(): DryRunReport {
    const { from, sinceMs, untilMs, next } = this.#options;
    return {
      range: {
        file: from.position.file,
        since: new Date(Math.max(sinceMs, from.begunAtMs)).toISOString(),
        until: new Date(untilMs).toISOString(),
      },
      transactions: this.#transactions,
      changes: this.#changes,
      events: this.#tally.counts,
      ...this.#webhookCount(),
      differences: this.#tally.differences,
      halts: this.#halts,
      definitions: this.#definitions,
      lookups: this.#lookups,
      warnings: [...next.rules.warnings, ...beyondWarnings(this.#beyond)],
    };
  }

  #open({ position, time, baseline, waived }: ReadingPlace): Promise<BinlogStream> {
    const { source, next } = this.#options;
    this.#beyond = baseline;
    return openPastStream({
      ...readingOf({ ...next, rules: { ...next.rules, watch: this.#watch } }),
      url: source.url,
      position,
      // The begin of a file of this server: its list may name a domain that was retired later.
      byFile: true,
      ...(time && { time }),
      waived,
      baseline,
    });
  }

  #noteHalt({ reason, message, remedy, table, transactionId }: Halt): void {
    this.#halts.push({ reason, message, remedy, table, transaction: transactionId });
  }

  #newLookups(): Lookups {
    return lookupsOf(this.#options.source, this.#options.next, () => (this.#lookups += 1));
  }

  async #mapTransaction(transaction: Transaction, lookups: Lookups): Promise<void> {
    const { id, isPart } = transaction;
    const { ddl } = transaction.part;
    const { committedAtMs } = transaction.commit;
    if (committedAtMs < this.#options.sinceMs) {
      // The transactions that could not be read so far were before the range as well.
      this.#halts = [];
      return;
    }
    if (ddl.length > 0) {
      this.#definitions.push({ at: new Date(committedAtMs).toISOString(), transaction: id, tables: ddl });
    }
    const { lineage } = this.#options;
    const context: MapContext = { ...lookups, lineage, transactionId: id, committedAtMs, isPart };
    this.#transactions += 1;
    const gathered = new Map(this.#both().map((side) => [side, side.rules.gatherSiblings(lookups)]));
    const note = async (changes: readonly Change[]): Promise<void> => {
      for (const [{ projection }, siblings] of gathered) await siblings.add(projection.project(changes));
    };
    const contextOf = (side: Side | null): MapContext => {
      const siblings = isPart && side ? gathered.get(side) : undefined;
      return siblings ? { ...context, siblings } : context;
    };
    for await (const changes of transaction.changes(note)) {
      this.#changes += changes.length;
      const [present, next] = await Promise.all(
        [this.#sides.present, this.#sides.next].map((side) => this.#map(side, changes, contextOf(side))),
      );
      // Changes that one of the two lists cannot check are not compared.
      if (present && next) this.#tally.compare(present, next);
      if (next) this.#count(next);
    }
  }

  #count(events: readonly DomainEvent[]): void {
    const { webhook } = this.#options;
    if (!webhook) return;
    for (const event of events) {
      if (!webhook.events.some((pattern) => matchesPattern(pattern, event.type))) continue;
      const counted = this.#sent.get(event.type) ?? { subscribed: 0, passed: 0 };
      counted.subscribed += 1;
      if (webhook.filter === null || matchesFilter(webhook.filter, event)) counted.passed += 1;
      this.#sent.set(event.type, counted);
    }
  }

  #webhookCount(): Pick<DryRunReport, 'webhook'> {
    const { webhook } = this.#options;
    if (!webhook) return {};
    return {
      webhook: {
        name: webhook.name,
        events: [...this.#sent].map(([event, counts]) => ({ event, ...counts })),
      },
    };
  }

  /** A rule that depends on what the log left out halts the daemon; here it is reported, once a transaction. */
  async #map(
    side: Side | null,
    changes: readonly Change[],
    context: MapContext,
  ): Promise<DomainEvent[] | null> {
    if (!side) return [];
    try {
      return await side.rules.map(side.projection.project(changes), context);
    } catch (error) {
      if (!(error instanceof CaptureFault)) throw error;
      const { reason, message, remedy, table } = error;
      const which = side === this.#sides.next ? 'the new rules' : 'the present rules';
      const halt = {
        reason,
        message: `${which}: ${message}`,
        remedy,
        table,
        transaction: context.transactionId,
      };
      if (!this.#halts.some((known) => isDeepStrictEqual(known, halt))) this.#halts.push(halt);
      return null;
    }
  }

  #both(): Side[] {
    return [this.#sides.present, this.#sides.next].filter((side) => side !== null);
  }

  #tellProgress(): void {
    const { files } = this.#options.from;
    const { file, offset } = this.#position;
    const at = files.findIndex(({ name }) => name === file);
    const bytes = files.slice(0, Math.max(0, at)).reduce((sum, each) => sum + each.bytes, offset);
    this.#options.onProgress({ bytes, ofBytes: files.reduce((sum, each) => sum + each.bytes, 0) });
  }
}

type Lookups = Pick<MapContext, 'resolve' | 'reread'>;

function beyondWarnings(beyond: Baseline): string[] {
  return Object.entries(beyond).map(
    ([table, columns]) =>
      `the log has ${Object.keys(columns).join(', ')} of ${table}, which the schema lacks: not read here, as a running daemon would`,
  );
}

function union(a: Watch, b: Watch): Watch {
  const tables = new Set([...a.keys(), ...b.keys()]);
  return new Map(
    [...tables].map((table) => [table, new Set([...(a.get(table) ?? []), ...(b.get(table) ?? [])])]),
  );
}

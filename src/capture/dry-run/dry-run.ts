import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { HaltError, Tripwire } from '../../binlog/halt.ts';
import { randomServerId } from '../../binlog/source/log-file.ts';
import type { PositionAt } from '../../binlog/position/position-at.ts';
import type { Source } from '../../binlog/source/source.ts';
import { mergeBaselines, OutgrownError } from '../../binlog/transaction/outgrown.ts';
import { openStream, type BinlogStream, type StreamOptions } from '../../binlog/stream.ts';
import type { Baseline, Commit, Position, TransactionPart, Watch } from '../../binlog/types.ts';
import type { Change } from '../../change/types.ts';
import { matchesFilter } from '../../event/filter.ts';
import { matchesPattern } from '../../event/subscription.ts';
import type { DomainEvent, MapContext, Rules } from '../../event/types.ts';
import type { Subscription } from '../../outbox/types.ts';
import { lookupsOf, readingOf, type Clinic } from '../clinic.ts';
import { Tally, type DryRunReport, type HaltInRange, type MayShow } from './dry-run-report.ts';
import { GatheredRows } from '../transaction/gathered-rows.ts';
import { createProjection, type Projection } from './projection.ts';

const BUFFER_BYTES = 16 * 1024 * 1024;
const HEARTBEAT_MS = 5_000;
/** Where the log cannot be read again and again, the rest is not worth reading. */
const MAX_HALTS = 20;

export interface DryRunOptions {
  source: Source;
  /** The rules to try, against the schema as it is now. */
  next: Clinic;
  /** Those in force; null when they do not fit the schema. */
  present: Rules | null;
  from: PositionAt;
  sinceMs: number;
  untilMs: number;
  /** Part of every event id. */
  lineage: string;
  limit: number;
  /** Whether to show the data of an event; null to show none. */
  mayShow: MayShow | null;
  /** Counts what this webhook would be sent. */
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
 * neither at the source nor in the store. What cannot be read is passed over whole and reported.
 */
export async function dryRun(options: DryRunOptions): Promise<DryRunResult> {
  const run = new DryRun(options);
  await run.readAll();
  return { report: run.report(), shownPatients: run.shownPatients };
}

/** One list of rules, and what it would have read. */
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
  readonly #rows = new GatheredRows();
  /** What only the log has, and not the present schema: it is reported, and not read. */
  #beyond: Baseline = {};
  #position: Position;
  #time: StreamOptions['time'];

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
    const waived = new Set<string>();
    for (;;) {
      const halt = await this.#readUntilHalt(waived);
      if (halt === 'beyond') continue;
      if (!halt) return;
      this.#halts.push(halt);
      if (halt.transaction === null || waived.size === MAX_HALTS) return;
      waived.add(halt.transaction);
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

  /** Reads to the end, or to a transaction that cannot be read: a new reader then continues after it. */
  async #readUntilHalt(waived: ReadonlySet<string>): Promise<HaltInRange | 'beyond' | null> {
    const { source, next } = this.#options;
    const stream = await openStream({
      ...readingOf({ ...next, rules: { ...next.rules, watch: this.#watch } }),
      url: source.url,
      position: this.#position,
      // The begin of a file of this server: its list may name a domain that was retired later.
      byFile: true,
      ...(this.#time && { time: this.#time }),
      // A reader with the id of another one would end it: the daemon's among them.
      serverId: randomServerId(),
      replicaUuid: randomUUID(),
      heartbeatMs: HEARTBEAT_MS,
      bufferBytes: BUFFER_BYTES,
      endsWithLog: true,
      waived,
      baseline: this.#beyond,
    });
    try {
      await this.#read(stream);
      return null;
    } catch (error) {
      if (error instanceof OutgrownError) {
        this.#beyond = mergeBaselines(this.#beyond, error.shown);
        return 'beyond';
      }
      if (!(error instanceof HaltError)) throw error;
      const { reason, message, remedy, table, transactionId } = error.halt;
      return { reason, message, remedy, table, transaction: transactionId };
    } finally {
      stream.close();
      await this.#forget();
    }
  }

  async #read(stream: BinlogStream): Promise<void> {
    for (;;) {
      const parts = await stream.take();
      if (parts.length === 0) return;
      const lookups = lookupsOf(this.#options.source, this.#options.next, () => (this.#lookups += 1));
      for (const part of parts) {
        if (part.isUndone) await this.#forget();
        for (const side of this.#both()) side.projection.note(part.rows);
        await this.#rows.add(part);
        if (!part.commit) continue;
        if (part.commit.committedAtMs > this.#options.untilMs) return;
        await this.#judge(part, part.commit, lookups);
        await this.#forget();
        this.#position = part.commit.position;
        this.#time = part.commit;
      }
      this.#tellProgress();
    }
  }

  async #forget(): Promise<void> {
    for (const side of this.#both()) side.projection.reset();
    await this.#rows.clear();
  }

  async #judge({ id, ddl }: TransactionPart, commit: Commit, lookups: Lookups): Promise<void> {
    const { committedAtMs } = commit;
    if (committedAtMs < this.#options.sinceMs) {
      // What could not be read so far was before the range as well.
      this.#halts = [];
      return;
    }
    if (ddl.length > 0) {
      this.#definitions.push({ at: new Date(committedAtMs).toISOString(), transaction: id, tables: ddl });
    }
    const { lineage } = this.#options;
    const { isPart } = this.#rows;
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
    for await (const changes of this.#rows.netChanges(note)) {
      this.#changes += changes.length;
      const [present, next] = await Promise.all(
        [this.#sides.present, this.#sides.next].map((side) => this.#map(side, changes, contextOf(side))),
      );
      // What one of the two cannot judge is not compared.
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
      if (!(error instanceof Tripwire)) throw error;
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

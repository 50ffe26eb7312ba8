import { mysqlCommitMs, type LogClock } from './log-clock.ts';
import { eventType } from '../protocol/event-type.ts';
import type { LogEvent } from '../protocol/log-event.ts';
import { hasReached } from '../position/log-place.ts';
import type { TransactionStart } from '../gtid/read-gtid.ts';
import { serverTimeMs } from '../statement/read-statement.ts';
import type { CommitTime, LogPlace } from '../types.ts';

/** Tables that only our own sessions write, one of them at every heartbeat. */
const ownTables = ['leases', 'checkpoint'];

const statementTypes: ReadonlySet<number> = new Set([
  eventType.query,
  eventType.mariadbQueryCompressed,
  eventType.executeLoadQuery,
]);

/** The evidence for the commit time of a transaction. */
interface Told {
  /** From the server's own clock. */
  knownMs: number | undefined;
  /** From the transaction's events, which contain the session's time. */
  toldMs: number;
  arrivedMs: number;
  isReplicated: boolean;
  /** It was in the log before reading began: the end of the log at that time is not reached yet. */
  isBacklog: boolean;
}

export interface TransactionTimeOptions {
  clock: LogClock;
  /** The schema of our own store: if it is on the source, its rows are written with the server's own time. */
  ownSchema?: string;
}

/** Determines when the current transaction was committed, from its events in order. */
export class TransactionTime {
  readonly #clock: LogClock;
  /** Beginnings of the table maps of our own tables. */
  readonly #ownMaps: readonly Buffer[];
  /** The id of the server that writes the log. */
  #serverId = 0;
  /** The end of the log when the server was queried, until it is reached. */
  #end: { place: LogPlace; atMs: number } | null = null;
  /** Of the last transaction that began: a standalone event after it was logged soon afterwards. */
  #told: Told | undefined;
  #isOwn = false;

  constructor({ clock, ownSchema }: TransactionTimeOptions) {
    this.#clock = clock;
    this.#ownMaps = ownSchema === undefined ? [] : ownTables.map((table) => mapOf(ownSchema, table));
  }

  /** Notes that everything after a place in the log was committed after a moment: the server then reported the place as its log's end. */
  expectEnd(place: LogPlace, atMs: number): void {
    this.#end = { place, atMs };
  }

  /** Reads a format description: a file of the log begins. */
  beginFile({ serverId, timestamp }: LogEvent): void {
    this.#serverId = serverId;
    this.#clock.pass(timestamp * 1_000);
  }

  /** Reads a GTID event, which begins at `place`. */
  begin(start: TransactionStart, event: LogEvent, place: LogPlace): void {
    if (this.#end && hasReached(place, this.#end.place)) {
      this.#clock.pass(this.#end.atMs);
      this.#end = null;
    }
    const isReplicated = event.serverId !== this.#serverId;
    const knownMs = mysqlCommitMs(start, isReplicated);
    const isBacklog = this.#end !== null;
    this.#told = { ...toldBy(event, this.#clock.now()), knownMs, isReplicated, isBacklog };
    this.#isOwn = false;
  }

  /** Reads a table map. Returns whether its table is one that only we write; if so, notes the time. */
  passOwnMap({ buffer, bodyStart, bodyEnd }: LogEvent): boolean {
    const at = bodyStart + 8;
    const isOurs = this.#ownMaps.some(
      (map) => map.compare(buffer, at, Math.min(at + map.length, bodyEnd)) === 0,
    );
    if (isOurs) this.passOwn();
    return isOurs;
  }

  /** Notes that the transaction has a row of ours: its time is the server's. */
  passOwn(): void {
    this.#isOwn = true;
    const told = this.#told;
    if (told && !told.isReplicated) this.#clock.pass(told.knownMs ?? told.toldMs);
  }

  /** Returns the commit time according to the event at the transaction's end, or to the unreadable event. */
  at(event: LogEvent): CommitTime {
    const { knownMs, ...told } = this.#told ?? toldBy(event, this.#clock.now());
    if (knownMs !== undefined) return { committedAtMs: knownMs, isEstimated: false };
    if (told.isReplicated || !statementTypes.has(event.type)) return this.#clock.timeOf(told);
    // A statement of this server contains the time when it ended, by the server's own clock.
    const endedAtMs = serverTimeMs(event);
    this.#clock.pass(endedAtMs);
    return this.#clock.timeOf({ ...told, toldMs: endedAtMs });
  }

  /** Whether the last transaction that began has a row of ours. */
  get isOwn(): boolean {
    return this.#isOwn;
  }

  /** See `Commit.passedMs`. */
  get passedMs(): number | null {
    return this.#clock.passedMs;
  }
}

function toldBy({ timestamp }: LogEvent, arrivedMs: number): Told {
  return { knownMs: undefined, toldMs: timestamp * 1_000, arrivedMs, isReplicated: false, isBacklog: false };
}

/** Returns the beginning of a table map, after its id and flags. */
function mapOf(schema: string, table: string): Buffer {
  const name = (text: string): Buffer[] => [Buffer.from([Buffer.byteLength(text)]), Buffer.from(`${text}\0`)];
  return Buffer.concat([...name(schema), ...name(table)]);
}

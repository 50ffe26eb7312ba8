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

/** What shows when a transaction was committed. */
interface Told {
  /** By the server's own clock. */
  knownMs: number | undefined;
  /** By its events, which have the session's. */
  toldMs: number;
  arrivedMs: number;
  isReplicated: boolean;
  /** In the log before reading began: the log's end, as the server reported it then, is not reached. */
  isBacklog: boolean;
}

export interface TransactionTimeOptions {
  clock: LogClock;
  /** The schema of our own store, whose rows are written with the server's own time where it is on the source. */
  ownSchema?: string;
}

/** When the transaction under way was committed, from its events in their order. */
export class TransactionTime {
  readonly #clock: LogClock;
  /** Beginnings of the table maps of our own tables. */
  readonly #ownMaps: readonly Buffer[];
  /** The server that writes the log. */
  #serverId = 0;
  /** Where the log ended when the server was asked, until it is reached. */
  #end: { place: LogPlace; atMs: number } | null = null;
  /** Of the transaction that began last: an event behind it that stands alone was logged soon after. */
  #told: Told | undefined;
  #isOwn = false;

  constructor({ clock, ownSchema }: TransactionTimeOptions) {
    this.#clock = clock;
    this.#ownMaps = ownSchema === undefined ? [] : ownTables.map((table) => mapOf(ownSchema, table));
  }

  /** What stands behind a place in the log was committed after a moment: the server was asked then where its log ends. */
  expectEnd(place: LogPlace, atMs: number): void {
    this.#end = { place, atMs };
  }

  /** A format description: a file of the log begins. */
  beginFile({ serverId, timestamp }: LogEvent): void {
    this.#serverId = serverId;
    this.#clock.pass(timestamp * 1_000);
  }

  /** A GTID event, which begins at `place`. */
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

  /** A table map. Returns whether it is of a table that only we write: then the time is noted. */
  passOwnMap({ buffer, bodyStart, bodyEnd }: LogEvent): boolean {
    const at = bodyStart + 8;
    const isOurs = this.#ownMaps.some(
      (map) => map.compare(buffer, at, Math.min(at + map.length, bodyEnd)) === 0,
    );
    if (isOurs) this.passOwn();
    return isOurs;
  }

  /** The transaction has a row of ours: its time is the server's. */
  passOwn(): void {
    this.#isOwn = true;
    const told = this.#told;
    if (told && !told.isReplicated) this.#clock.pass(told.knownMs ?? told.toldMs);
  }

  /** The commit time, as the event at the transaction's end, or the one that cannot be read, has it. */
  at(event: LogEvent): CommitTime {
    const { knownMs, ...told } = this.#told ?? toldBy(event, this.#clock.now());
    if (knownMs !== undefined) return { committedAtMs: knownMs, isEstimated: false };
    if (told.isReplicated || !statementTypes.has(event.type)) return this.#clock.timeOf(told);
    // A statement of this server has the time when it ended, by the server's own clock.
    const endedAtMs = serverTimeMs(event);
    this.#clock.pass(endedAtMs);
    return this.#clock.timeOf({ ...told, toldMs: endedAtMs });
  }

  /** Whether the transaction that began last has a row of ours. */
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

/** How a table map begins, behind its id and flags. */
function mapOf(schema: string, table: string): Buffer {
  const name = (text: string): Buffer[] => [Buffer.from([Buffer.byteLength(text)]), Buffer.from(`${text}\0`)];
  return Buffer.concat([...name(schema), ...name(table)]);
}

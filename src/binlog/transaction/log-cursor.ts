import { ByteReader } from '../protocol/byte-reader.ts';
import { eventType } from '../protocol/event-type.ts';
import { FLAG_ARTIFICIAL, type LogEvent } from '../protocol/log-event.ts';
import { MAX_DUMP_OFFSET } from '../position/log-place.ts';
import type { LogPlace, Position } from '../types.ts';

/** The log's own count of a file's bytes begins anew here. */
const WRAP = 0x1_0000_0000;
const describesFile: ReadonlySet<number> = new Set([eventType.rotate, eventType.formatDescription]);
/** Sent for the connection alone. */
const notInFile: ReadonlySet<number> = new Set([eventType.heartbeat, eventType.heartbeatV2]);

/** The position in the log: counts the bytes of each event. */
export class LogCursor {
  #file: string;
  #offset: number;
  /** A dump cannot be asked to start beyond 4 GiB: it starts at the file's begin, and all up to here is passed over. */
  #skipUntil: number;
  #fileCreatedAt: number | undefined;
  #eventStart: number;

  /** `byOffset`: the server is asked for a file and an offset, not for what comes after a set of GTIDs. */
  constructor({ file, offset, fileCreatedAt }: Position, { byOffset }: { byOffset: boolean }) {
    this.#file = file;
    this.#offset = offset;
    this.#eventStart = offset;
    this.#fileCreatedAt = fileCreatedAt;
    this.#skipUntil = byOffset && offset > MAX_DUMP_OFFSET ? offset : 0;
  }

  /** Behind the last event. */
  get place(): LogPlace {
    return { file: this.#file, offset: this.#offset };
  }

  /** Where the last event begins, behind what the server left out before it. */
  get eventPlace(): LogPlace {
    return { file: this.#file, offset: this.#eventStart };
  }

  position(gtid: string | null): Position {
    const position = { gtid, ...this.place };
    return this.#fileCreatedAt === undefined ? position : { ...position, fileCreatedAt: this.#fileCreatedAt };
  }

  /**
   * Our own count of the file's bytes: the log's has 32 bits, and is 0 where the server made the event up and inside MariaDB's
   * transactions. What a server leaves out because we have it lies between our count and the log's.
   */
  advance(event: LogEvent, isInTransaction: boolean): void {
    if (event.flags & FLAG_ARTIFICIAL || notInFile.has(event.type)) return;
    const isStated = event.logPos !== 0;
    if (!isStated && (!isInTransaction || event.type === eventType.formatDescription)) return;
    const end = this.#offset + event.size;
    const leftOut = isStated ? (event.logPos - (end % WRAP) + WRAP) % WRAP : 0;
    this.#offset = end + leftOut;
    this.#eventStart = this.#offset - event.size;
  }

  /** Whether the event is before the position at which reading continues. What describes the file is needed behind it as well. */
  skips(event: LogEvent): boolean {
    if (this.#skipUntil === 0 || describesFile.has(event.type)) return false;
    if (this.#offset <= this.#skipUntil) return true;
    this.#skipUntil = 0;
    return false;
  }

  /** A format description: the file was begun at its timestamp. */
  begin(event: LogEvent): void {
    this.#fileCreatedAt = event.timestamp;
  }

  rotate(event: LogEvent): void {
    const reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
    const offset = Number(reader.uint64());
    const file = reader.utf8(reader.remaining);
    if (file !== this.#file) {
      this.#fileCreatedAt = undefined;
      this.#skipUntil = 0;
    }
    this.#file = file;
    this.#offset = offset;
  }
}

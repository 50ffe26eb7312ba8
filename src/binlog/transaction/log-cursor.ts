import { ByteReader } from '../protocol/byte-reader.ts';
import { eventType } from '../protocol/event-type.ts';
import { FLAG_ARTIFICIAL, type LogEvent } from '../protocol/log-event.ts';
import { MAX_DUMP_OFFSET } from '../position/log-place.ts';
import type { LogPlace, Position } from '../types.ts';

/** The log's own 32-bit byte count of a file wraps here. */
const WRAP = 0x1_0000_0000;
const describesFile: ReadonlySet<number> = new Set([eventType.rotate, eventType.formatDescription]);
/** Events that are sent for the connection only. */
const notInFile: ReadonlySet<number> = new Set([eventType.heartbeat, eventType.heartbeatV2]);

/** Tracks the position in the log by counting the bytes of each event. */
export class LogCursor {
  #file: string;
  #offset: number;
  /** A dump cannot start beyond 4 GiB: it starts at the beginning of the file, and everything up to this offset is skipped. */
  #skipUntil: number;
  #fileCreatedAt: number | undefined;
  #eventStart: number;

  /** `byOffset`: the log is requested by file and offset, not by the GTIDs to exclude. */
  constructor({ file, offset, fileCreatedAt }: Position, { byOffset }: { byOffset: boolean }) {
    this.#file = file;
    this.#offset = offset;
    this.#eventStart = offset;
    this.#fileCreatedAt = fileCreatedAt;
    this.#skipUntil = byOffset && offset > MAX_DUMP_OFFSET ? offset : 0;
  }

  /** The place after the last event. */
  get place(): LogPlace {
    return { file: this.#file, offset: this.#offset };
  }

  /** The start of the last event, after anything that the server omitted before it. */
  get eventPlace(): LogPlace {
    return { file: this.#file, offset: this.#eventStart };
  }

  position(gtid: string | null): Position {
    const position = { gtid, ...this.place };
    return this.#fileCreatedAt === undefined ? position : { ...position, fileCreatedAt: this.#fileCreatedAt };
  }

  /**
   * Counts the file's bytes itself: the log's own position has 32 bits, and is 0 in events that the server generates and inside
   * MariaDB's transactions. The difference between the two counts is what the server omits because we already have it.
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

  /** Whether the event is before the position at which reading continues. Events that describe the file are never skipped. */
  skips(event: LogEvent): boolean {
    if (this.#skipUntil === 0 || describesFile.has(event.type)) return false;
    if (this.#offset <= this.#skipUntil) return true;
    this.#skipUntil = 0;
    return false;
  }

  /** Reads a format description: its timestamp is the time when the file was begun. */
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

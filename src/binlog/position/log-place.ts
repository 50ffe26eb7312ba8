import type { LogEvent } from '../protocol/log-event.ts';
import type { LogPlace } from '../types.ts';

/** COM_BINLOG_DUMP has a 32-bit offset. */
export const MAX_DUMP_OFFSET = 0xffff_ffff;

/** Whether `place` is at or after `end`; false if the files have different base names, as on another server. */
export function hasReached(place: LogPlace, end: LogPlace): boolean {
  const [ours, theirs] = [place.file.lastIndexOf('.'), end.file.lastIndexOf('.')];
  if (place.file.slice(0, ours) !== end.file.slice(0, theirs)) return false;
  const ahead = Number(place.file.slice(ours + 1)) - Number(end.file.slice(theirs + 1));
  return ahead > 0 || (ahead === 0 && place.offset >= end.offset);
}

/**
 * Whether a log that ends at `end` is shorter than the part read, up to `place`: then it was reset or truncated, and is not the log
 * that was read. False if the files have different base names. `end` proves this only if it was queried after `place` was read.
 */
export function endsBefore(end: LogPlace, place: LogPlace): boolean {
  return hasReached(place, end) && !hasReached(end, place);
}

/** Whether a file of the log was begun after another; false if their names differ in more than the number. */
export function isLaterFile(file: string, than: string): boolean {
  return hasReached({ file, offset: 0 }, { file: than, offset: 1 });
}

/** Returns the server's place when it had nothing to send: it skips events that it does not send, such as MariaDB's own markers. */
export function placeOfHeartbeat({ buffer, bodyStart, bodyEnd, logPos }: LogEvent): LogPlace {
  return { file: buffer.toString('utf8', bodyStart, bodyEnd), offset: logPos };
}

/** Returns `place`, or the heartbeat's place if that is further on in the same file. */
export function furthest(place: LogPlace, heard: LogPlace | undefined): LogPlace {
  return heard?.file === place.file && heard.offset > place.offset ? heard : place;
}

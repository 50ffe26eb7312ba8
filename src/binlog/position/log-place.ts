import type { LogEvent } from '../protocol/log-event.ts';
import type { LogPlace } from '../types.ts';

/** COM_BINLOG_DUMP carries the offset in 32 bits. */
export const MAX_DUMP_OFFSET = 0xffff_ffff;

/** Whether everything before `end` stands before `place` too; false where the files have different names: another server's. */
export function hasReached(place: LogPlace, end: LogPlace): boolean {
  const [ours, theirs] = [place.file.lastIndexOf('.'), end.file.lastIndexOf('.')];
  if (place.file.slice(0, ours) !== end.file.slice(0, theirs)) return false;
  const ahead = Number(place.file.slice(ours + 1)) - Number(end.file.slice(theirs + 1));
  return ahead > 0 || (ahead === 0 && place.offset >= end.offset);
}

/**
 * Whether a log that ends at `end` is shorter than what was read of it, up to `place`: then it was reset or cut, and is not the log
 * that was read. False where the files have different names. Only an end that was asked for after `place` was read can show this.
 */
export function endsBefore(end: LogPlace, place: LogPlace): boolean {
  return hasReached(place, end) && !hasReached(end, place);
}

/** Whether a file of the log was begun after another; false where their names differ but for the number. */
export function isLaterFile(file: string, than: string): boolean {
  return hasReached({ file, offset: 0 }, { file: than, offset: 1 });
}

/** Where the server stood when it had nothing to send: it passes over what it keeps to itself, as MariaDB its own marks. */
export function placeOfHeartbeat({ buffer, bodyStart, bodyEnd, logPos }: LogEvent): LogPlace {
  return { file: buffer.toString('utf8', bodyStart, bodyEnd), offset: logPos };
}

/** `place`, or the one that was heard of, where that is further on in the same file. */
export function furthest(place: LogPlace, heard: LogPlace | undefined): LogPlace {
  return heard?.file === place.file && heard.offset > place.offset ? heard : place;
}

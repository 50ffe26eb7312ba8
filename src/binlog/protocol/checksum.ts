import { crc32 } from 'node:zlib';
import { eventType } from './event-type.ts';
import { CHECKSUM_BYTES, HEADER_BYTES, readLogEvent, type LogEvent } from './log-event.ts';

/** An event's CRC32 does not match its bytes, or its packet does not have the length stated in the event. */
export class ChecksumError extends Error {
  constructor(message = 'an event arrived with a wrong checksum') {
    super(message);
  }
}

/**
 * Extracts the events from the packets of one dump. If the server writes checksums, every event after the format description has a
 * CRC32: an event with a wrong checksum is never decoded (ChecksumError).
 */
export class ChecksummedEvents {
  #checksums = false;

  /** Reads the event in `buffer` from `start` to `end`; it is valid as long as the buffer. Throws a ChecksumError for a damaged event. */
  read(buffer: Buffer, start: number, end: number): LogEvent {
    // Without checksums, only the length distinguishes a damaged event from a complete one.
    if (end - start < HEADER_BYTES || buffer.readUInt32LE(start + 9) !== end - start)
      throw new ChecksumError('an event arrived that is not as long as it says');
    const type = buffer[start + 4]!;
    if (type === eventType.formatDescription) {
      this.#checksums = buffer[end - CHECKSUM_BYTES - 1] === 1;
      return readLogEvent(buffer, start, end - CHECKSUM_BYTES - 1);
    }
    // The rotate event that opens a dump precedes the format description: it has a checksum if its last bytes match one.
    if (!this.#checksums && !carriesChecksum(buffer, start, end)) return readLogEvent(buffer, start, end);
    const bodyEnd = end - CHECKSUM_BYTES;
    if (
      end - start < HEADER_BYTES + CHECKSUM_BYTES ||
      crc32(buffer.subarray(start, bodyEnd)) !== buffer.readUInt32LE(bodyEnd)
    ) {
      throw new ChecksumError();
    }
    return readLogEvent(buffer, start, bodyEnd);
  }
}

function carriesChecksum(buffer: Buffer, start: number, end: number): boolean {
  if (buffer[start + 4] !== eventType.rotate || end - start < HEADER_BYTES + 8 + CHECKSUM_BYTES) return false;
  return crc32(buffer.subarray(start, end - CHECKSUM_BYTES)) === buffer.readUInt32LE(end - CHECKSUM_BYTES);
}

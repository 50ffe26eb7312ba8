/** Artificial: the server generated the event for this connection, it is not in the file. */
export const FLAG_ARTIFICIAL = 0x20;
/** A reader that does not know the type may skip the event. */
export const FLAG_IGNORABLE = 0x80;

export const HEADER_BYTES = 19;
export const CHECKSUM_BYTES = 4;

export interface LogEvent {
  /** Seconds since 1970 UTC. */
  timestamp: number;
  type: number;
  serverId: number;
  /** Bytes in the log, including header and checksum. */
  size: number;
  /** Low 32 bits of the event's end offset in its file; 0 if the server does not provide it. */
  logPos: number;
  flags: number;
  buffer: Buffer;
  /** First byte after the header. */
  bodyStart: number;
  /** End of the body, excluding the checksum. */
  bodyEnd: number;
}

/** Reads the common header that begins at `at`; `end` is where the event's body ends. */
export function readLogEvent(buffer: Buffer, at: number, end: number): LogEvent {
  return {
    timestamp: buffer.readUInt32LE(at),
    type: buffer[at + 4]!,
    serverId: buffer.readUInt32LE(at + 5),
    size: buffer.readUInt32LE(at + 9),
    logPos: buffer.readUInt32LE(at + 13),
    flags: buffer.readUInt16LE(at + 17),
    buffer,
    bodyStart: at + HEADER_BYTES,
    bodyEnd: end,
  };
}

/** Returns a copy of the event: the connection's buffer is valid only until the next packet is read. */
export function copyLogEvent(event: LogEvent): LogEvent {
  const buffer = Buffer.from(event.buffer.subarray(event.bodyStart, event.bodyEnd));
  return { ...event, buffer, bodyStart: 0, bodyEnd: buffer.length };
}

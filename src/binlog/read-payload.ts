import { createZstdDecompress, zstdDecompressSync } from 'node:zlib';
import { ByteReader } from './byte-reader.ts';
import { HEADER_BYTES, readLogEvent, type LogEvent } from './log-event.ts';

/** Up to this many bytes a payload is unpacked in one call; a larger one in a stream, so that memory stays bounded. */
const ONE_CALL_BYTES = 8 * 1024 * 1024;

const payloadField = { end: 0, size: 1, compression: 2, uncompressedSize: 3 } as const;
const compression = { zstd: 0, none: 255 } as const;

interface Payload {
  bytes: Buffer;
  uncompressedSize: number;
  compressed: boolean;
}

/** TRANSACTION_PAYLOAD_EVENT: (type, length, value) fields up to an end mark, then the bytes (MySQL payload_event codec). */
function readPayloadHeader(event: LogEvent): Payload {
  const reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
  let type: number = compression.none;
  let size: number | undefined;
  let uncompressedSize = 0;
  for (;;) {
    const kind = reader.lengthEncoded();
    if (kind === payloadField.end) break;
    const length = reader.lengthEncoded();
    const next = reader.offset + length;
    if (kind === payloadField.size) size = reader.lengthEncoded();
    else if (kind === payloadField.compression) type = reader.lengthEncoded();
    else if (kind === payloadField.uncompressedSize) uncompressedSize = reader.lengthEncoded();
    reader.offset = next;
  }
  if (type !== compression.zstd && type !== compression.none)
    throw new RangeError(`payload compression type ${type}`);
  const bytes = reader.bytes(size ?? reader.remaining);
  return { bytes, uncompressedSize, compressed: type === compression.zstd };
}

/**
 * The events inside a compressed transaction, in order. Small ones come as an array at once; a large one as an async
 * sequence whose events are valid until the next is asked for.
 */
export function readPayload(event: LogEvent): LogEvent[] | AsyncGenerator<LogEvent, void, undefined> {
  const payload = readPayloadHeader(event);
  if (!payload.compressed) return cutEvents(payload.bytes).events;
  if (payload.uncompressedSize > 0 && payload.uncompressedSize <= ONE_CALL_BYTES) {
    const { events, rest } = cutEvents(
      zstdDecompressSync(payload.bytes, { maxOutputLength: ONE_CALL_BYTES }),
    );
    if (rest.length > 0) throw new RangeError('compressed transaction ends in mid-event');
    return events;
  }
  return streamEvents(Buffer.from(payload.bytes));
}

/** Inner events have no checksum of their own: the outer one covers them. */
function cutEvents(buffer: Buffer): { events: LogEvent[]; rest: Buffer } {
  const events: LogEvent[] = [];
  let at = 0;
  while (at + HEADER_BYTES <= buffer.length) {
    const size = buffer.readUInt32LE(at + 9);
    if (size < HEADER_BYTES) throw new RangeError(`inner event of ${size} bytes`);
    if (at + size > buffer.length) break;
    events.push(readLogEvent(buffer, at, at + size));
    at += size;
  }
  return { events, rest: buffer.subarray(at) };
}

async function* streamEvents(bytes: Buffer): AsyncGenerator<LogEvent, void, undefined> {
  const unpack = createZstdDecompress({ chunkSize: 1024 * 1024 });
  unpack.end(bytes);
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let needed = HEADER_BYTES;
  for await (const chunk of unpack as AsyncIterable<Buffer>) {
    pending.push(chunk);
    pendingBytes += chunk.length;
    if (pendingBytes < needed) continue;
    const { events, rest } = cutEvents(pending.length === 1 ? chunk : Buffer.concat(pending));
    yield* events;
    pending = [rest];
    pendingBytes = rest.length;
    needed = rest.length >= HEADER_BYTES ? rest.readUInt32LE(9) : HEADER_BYTES;
  }
  if (pendingBytes > 0) throw new RangeError('compressed transaction ends in mid-event');
}

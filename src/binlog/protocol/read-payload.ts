import { createZstdDecompress, zstdDecompressSync, type ZstdDecompress } from 'node:zlib';
import { ByteReader } from './byte-reader.ts';
import { eventType } from './event-type.ts';
import { HEADER_BYTES, readLogEvent, type LogEvent } from './log-event.ts';

/** A payload of up to this many bytes is decompressed in one call; a larger one in a stream, which bounds memory. */
const ONE_CALL_BYTES = 8 * 1024 * 1024;

const payloadField = { end: 0, size: 1, compression: 2, uncompressedSize: 3 } as const;
const compression = { zstd: 0, none: 255 } as const;

/** Events that occur around transactions, not inside them. */
const neverInside: ReadonlySet<number> = new Set([
  eventType.transactionPayload,
  eventType.rotate,
  eventType.stop,
  eventType.formatDescription,
  eventType.gtid,
  eventType.anonymousGtid,
  eventType.gtidTagged,
  eventType.mariadbGtid,
]);

interface Payload {
  bytes: Buffer;
  /** Undefined if the event does not contain it. */
  uncompressedSize: number | undefined;
  compressed: boolean;
}

/** TRANSACTION_PAYLOAD_EVENT: (type, length, value) fields up to an end mark, then the bytes (MySQL payload_event codec). */
function readPayloadHeader(event: LogEvent): Payload {
  const reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
  let type: number = compression.none;
  let size: number | undefined;
  let uncompressedSize: number | undefined;
  for (;;) {
    // Each iteration consumes at least one byte.
    const kind = reader.lengthEncoded();
    if (kind === payloadField.end) break;
    const length = reader.lengthEncoded();
    const value = new ByteReader(reader.buffer, reader.offset, reader.offset + length);
    reader.skip(length);
    if (kind === payloadField.size) size = value.lengthEncoded();
    else if (kind === payloadField.compression) type = value.lengthEncoded();
    else if (kind === payloadField.uncompressedSize) uncompressedSize = value.lengthEncoded();
  }
  if (type !== compression.zstd && type !== compression.none)
    throw new RangeError(`payload compression type ${type}`);
  if (size !== undefined && size !== reader.remaining)
    throw new RangeError(`payload of ${reader.remaining} bytes that says ${size}`);
  return {
    bytes: reader.bytes(reader.remaining),
    uncompressedSize,
    compressed: type === compression.zstd,
  };
}

/**
 * Reads the events inside a transaction payload, in order. A small payload returns an array at once; a large one an async sequence
 * whose events are valid until the next one is requested. Throws a RangeError for a payload whose length differs from the declared one.
 */
export function readPayload(event: LogEvent): LogEvent[] | AsyncGenerator<LogEvent, void, undefined> {
  const { bytes, compressed, uncompressedSize } = readPayloadHeader(event);
  // Copy: a statement in the payload, and so the events after it, may wait for a query to the source.
  if (!compressed) return wholeEvents(Buffer.from(bytes), uncompressedSize);
  if (uncompressedSize !== undefined && uncompressedSize <= ONE_CALL_BYTES)
    return wholeEvents(unpackFrames(bytes, uncompressedSize), uncompressedSize);
  return streamEvents(Buffer.from(bytes), uncompressedSize ?? Infinity);
}

function wholeEvents(bytes: Buffer, declared: number | undefined): LogEvent[] {
  if (declared !== undefined && bytes.length !== declared) throw wrongSize(bytes.length, declared);
  const { events, rest } = cutEvents(bytes);
  if (rest.length > 0) throw endsInMidEvent();
  return events;
}

/** A payload may consist of several zstd frames, of which zlib reads only the first. */
function unpackFrames(bytes: Buffer, declared: number): Buffer {
  const frames: Buffer[] = [];
  let unpacked = 0;
  let rest = bytes;
  while (rest.length > 0) {
    const { buffer, engine } = zstdDecompressSync(rest, {
      info: true,
      maxOutputLength: Math.max(1, declared - unpacked),
    }) as unknown as { buffer: Buffer; engine: ZstdDecompress };
    frames.push(buffer);
    unpacked += buffer.length;
    rest = afterFrame(rest, engine);
  }
  return frames.length === 1 ? frames[0]! : Buffer.concat(frames);
}

function afterFrame(bytes: Buffer, { bytesWritten }: ZstdDecompress): Buffer {
  if (bytesWritten === 0) throw new RangeError('a frame of zstd without any byte');
  return bytes.subarray(bytesWritten);
}

const wrongSize = (size: number, declared: number): RangeError =>
  new RangeError(`payload unpacks to ${size} bytes and says ${declared}`);
const endsInMidEvent = (): RangeError => new RangeError('transaction payload ends in mid-event');

/** Inner events have no checksum: the checksum of the outer event covers them. */
function cutEvents(buffer: Buffer): { events: LogEvent[]; rest: Buffer } {
  const events: LogEvent[] = [];
  let at = 0;
  while (at + HEADER_BYTES <= buffer.length) {
    const size = buffer.readUInt32LE(at + 9);
    if (size < HEADER_BYTES) throw new RangeError(`inner event of ${size} bytes`);
    if (at + size > buffer.length) break;
    const event = readLogEvent(buffer, at, at + size);
    if (neverInside.has(event.type)) throw new RangeError(`an event of type ${event.type} inside a payload`);
    events.push(event);
    at += size;
  }
  return { events, rest: buffer.subarray(at) };
}

async function* streamEvents(bytes: Buffer, declared: number): AsyncGenerator<LogEvent, void, undefined> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let needed = HEADER_BYTES;
  let unpacked = 0;
  for await (const chunk of streamFrames(bytes)) {
    unpacked += chunk.length;
    if (unpacked > declared) throw wrongSize(unpacked, declared);
    pending.push(chunk);
    pendingBytes += chunk.length;
    if (pendingBytes < needed) continue;
    const { events, rest } = cutEvents(pending.length === 1 ? chunk : Buffer.concat(pending));
    yield* events;
    pending = [rest];
    pendingBytes = rest.length;
    needed = rest.length >= HEADER_BYTES ? rest.readUInt32LE(9) : HEADER_BYTES;
  }
  if (pendingBytes > 0) throw endsInMidEvent();
  if (declared !== Infinity && unpacked !== declared) throw wrongSize(unpacked, declared);
}

async function* streamFrames(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  let rest = bytes;
  while (rest.length > 0) {
    const unpack = createZstdDecompress({ chunkSize: 1024 * 1024 });
    unpack.end(rest);
    yield* unpack as AsyncIterable<Buffer>;
    rest = afterFrame(rest, unpack);
  }
}

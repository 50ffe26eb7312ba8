import { ByteReader } from './byte-reader.ts';
import { eventType } from './event-type.ts';
import type { LogEvent } from './log-event.ts';
import { inflateEnvelope } from './inflate.ts';

/** An EXECUTE_LOAD_QUERY has so much post-header between a Query event's own and its status variables. */
const LOAD_QUERY_BYTES = 13;

/**
 * When the statement of a Query event ended, ms since 1970 UTC, by the server's own clock: the event's time, which the session can
 * set, plus the duration, which the server computes from it modulo 2^32 seconds (checked on MariaDB 10.11 with times before and after).
 */
export function serverTimeMs({ timestamp, buffer, bodyStart }: LogEvent): number {
  return ((timestamp + buffer.readUInt32LE(bodyStart + 4)) >>> 0) * 1_000;
}

/** The statement of a Query event and the session's schema (MySQL libs/mysql/binlog/event/statement_events.h). */
export function readStatement(event: LogEvent): { schema: string; text: string } {
  const reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
  reader.skip(8);
  const schemaLength = reader.uint8();
  reader.skip(2);
  const statusLength = reader.uint16();
  reader.skip(statusLength + (event.type === eventType.executeLoadQuery ? LOAD_QUERY_BYTES : 0));
  const schema = reader.utf8(schemaLength);
  reader.skip(1);
  const rest = reader.bytes(reader.remaining);
  const bytes = event.type === eventType.mariadbQueryCompressed ? inflateEnvelope(rest) : rest;
  return { schema, text: bytes.toString('utf8') };
}

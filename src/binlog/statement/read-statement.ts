import { ByteReader } from '../protocol/byte-reader.ts';
import { eventType } from '../protocol/event-type.ts';
import { inflateEnvelope } from '../protocol/inflate.ts';
import type { LogEvent } from '../protocol/log-event.ts';
import type { LexicalRules } from './lexical-rules.ts';
import { parseStatement, type ParsedStatement } from './parse-statement.ts';
import type { StatementEffect } from './statement-kinds.ts';
import { readStatusVariables, type StatusVariables } from './status-variables.ts';

/** Thread id, seconds, length of the schema, error code, length of the status variables. */
const POST_HEADER_BYTES = 13;
/** Behind it, in an EXECUTE_LOAD_QUERY: file id, where the file's name begins and ends in the text, what happens to duplicates. */
const LOAD_QUERY_BYTES = 13;

/** A statement of the log. Its text may hold patient data: it goes into no message. */
export interface LoggedStatement {
  /** The session's schema, in UTF-8 whatever the client spoke; empty where it had none. */
  schema: string;
  variables: StatusVariables;
  effect: StatementEffect;
  /** MySQL's CREATE TABLE … SELECT in ROW format: rows follow it in the same transaction. */
  opensTransaction: boolean;
  parsed: ParsedStatement;
  /** The whole text, which goes nowhere; while the event is handled. */
  text(): string;
}

export interface RawStatement {
  schema: string;
  variables: StatusVariables;
  /** In the client's character set. A view of the event's bytes, valid while it is handled. */
  text: Buffer;
}

/**
 * When the statement of a Query event ended, ms since 1970 UTC, by the server's own clock: the event's time, which the session can
 * set, plus the duration, which the server computes from it modulo 2^32 seconds (checked on MariaDB 10.11 with times before and after).
 */
export function serverTimeMs({ timestamp, buffer, bodyStart }: LogEvent): number {
  return ((timestamp + buffer.readUInt32LE(bodyStart + 4)) >>> 0) * 1_000;
}

const BEGIN = Buffer.from('BEGIN');

/** Whether it is what MySQL writes in front of every transaction: recognised without reading the rest. */
export function isPlainBegin({ type, buffer, bodyStart, bodyEnd }: LogEvent): boolean {
  if (type !== eventType.query || bodyEnd - bodyStart < POST_HEADER_BYTES) return false;
  const text =
    bodyStart + POST_HEADER_BYTES + buffer.readUInt16LE(bodyStart + 11) + buffer[bodyStart + 8]! + 1;
  return bodyEnd - text === BEGIN.length && BEGIN.compare(buffer, text, bodyEnd) === 0;
}

/** Reads a QUERY, a compressed QUERY, or an EXECUTE_LOAD_QUERY event (MySQL libs/mysql/binlog/event/statement_events.h). */
export function readRawStatement(event: LogEvent): RawStatement {
  const reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
  const schemaLength = event.buffer[event.bodyStart + 8] ?? 0;
  reader.skip(POST_HEADER_BYTES - 2);
  const statusLength = reader.uint16();
  if (event.type === eventType.executeLoadQuery) reader.skip(LOAD_QUERY_BYTES);
  const variables = readStatusVariables(reader, statusLength);
  const schema = reader.utf8(schemaLength);
  reader.skip(1);
  const rest = reader.bytes(reader.remaining);
  return {
    schema,
    variables,
    text: event.type === eventType.mariadbQueryCompressed ? inflateEnvelope(rest) : rest,
  };
}

/** A statement whose verdict comes later than the next event must own its bytes. */
export function parseLogged({ schema, variables, text }: RawStatement, rules: LexicalRules): LoggedStatement {
  const parsed = parseStatement(text, rules);
  // The first phase has done nothing yet, and of one that was undone nothing is left.
  const isWithoutEffect = variables.alterPhase === 'start' || variables.alterPhase === 'rollback';
  return {
    schema,
    variables,
    effect: isWithoutEffect ? 'harmless' : parsed.effect,
    opensTransaction: parsed.effect === 'definition' && endsInStart(text),
    parsed,
    text: () => rules.decode?.(text) ?? text.toString('utf8'),
  };
}

const endsInStart = (text: Buffer): boolean =>
  /\bSTART\s+TRANSACTION\s*$/.test(text.toString('latin1', Math.max(0, text.length - 64)));

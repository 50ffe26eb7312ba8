import type { ByteReader } from '../protocol/byte-reader.ts';

/** Properties in a Query event of the session that executed its statement. A field is undefined if the event lacks it. */
export interface StatusVariables {
  /** Bits of the session's sql_mode; those used here are the same in both servers. */
  sqlMode?: bigint;
  /** Collation id of character_set_client, the character set of the statement's bytes. */
  clientCollation?: number;
  /**
   * MySQL: the schemas that the statement, its triggers and its functions may change. Also undefined if the server stopped listing
   * them: more than 16, or tables with foreign keys to other schemas.
   */
  changedSchemas?: readonly string[];
  /** MariaDB's two-phase ALTER (binlog_alter_two_phase): the statement is logged when it starts and again when it ends. */
  alterPhase?: 'start' | 'commit' | 'rollback';
}

/** `Q_*` codes (MySQL libs/mysql/binlog/event/statement_events.h; MariaDB sql/log_event.h from 128 on). */
const code = {
  sqlMode: 1,
  charset: 4,
  invoker: 11,
  changedSchemas: 12,
  alterPhase: 130,
  collations: 131,
} as const;

/** Codes whose value has a fixed length. MySQL 9.7 writes 21 with each change. */
const fixedLengths: ReadonlyMap<number, number> = new Map([
  [0, 4], // flags2
  [3, 4], // auto_increment_increment and _offset
  [7, 2], // lc_time_names
  [8, 2], // collation of the schema
  [9, 8], // tables of a multi-table update
  [10, 4], // bytes in the original source's log
  [13, 3], // microseconds
  [16, 1], // explicit_defaults_for_timestamp
  [17, 8], // XID of a definition
  [18, 2], // default collation for utf8mb4
  [19, 1], // sql_require_primary_key
  [20, 1], // default_table_encryption
  [21, 1],
  [128, 3], // MariaDB: microseconds
  [129, 8], // MariaDB: XID of a definition
]);

/** Codes whose value is a length byte, that many bytes, and this many more: the first form of the catalog ended with a NUL. */
const prefixedLengths: ReadonlyMap<number, number> = new Map([
  [2, 1],
  [5, 0],
  [6, 0],
]);

/** Replaces the number of schemas if the server did not list them. */
const TOO_MANY_SCHEMAS = 254;

/** The sequence number of the start follows FL_COMMIT_ALTER_E1 and FL_ROLLBACK_ALTER_E1. */
const alterPhases: ReadonlyMap<number, NonNullable<StatusVariables['alterPhase']>> = new Map([
  [2, 'start'],
  [4, 'commit'],
  [8, 'rollback'],
]);

/**
 * Reads the status variables of a Query event, `length` bytes long. Stops at an unknown code, because its length is also unknown: the
 * variables after it remain undefined. Never reads beyond its own bytes; throws a RangeError for a truncated value.
 */
export function readStatusVariables(reader: ByteReader, length: number): StatusVariables {
  const variables: StatusVariables = {};
  const end = reader.offset + length;
  while (reader.offset < end) {
    const key = reader.uint8();
    const fixed = fixedLengths.get(key);
    if (fixed !== undefined) reader.skip(fixed);
    else if (!readOne(reader, key, variables)) break;
    if (reader.offset > end) throw new RangeError('status variables end too early');
  }
  reader.offset = end;
  return variables;
}

/** Returns false for an unknown code. */
function readOne(reader: ByteReader, key: number, variables: StatusVariables): boolean {
  const prefixed = prefixedLengths.get(key);
  if (prefixed !== undefined) {
    reader.skip(reader.uint8() + prefixed);
    return true;
  }
  switch (key) {
    case code.sqlMode:
      variables.sqlMode = reader.uint64();
      return true;
    case code.charset:
      variables.clientCollation = reader.uint16();
      reader.skip(4);
      return true;
    case code.invoker:
      reader.skip(reader.uint8());
      reader.skip(reader.uint8());
      return true;
    case code.changedSchemas: {
      const count = reader.uint8();
      if (count !== TOO_MANY_SCHEMAS)
        variables.changedSchemas = Array.from({ length: count }, () => readName(reader));
      return true;
    }
    case code.alterPhase:
      return readAlterPhase(reader, variables);
    case code.collations:
      reader.skip(reader.uint8() * 4);
      return true;
    default:
      return false;
  }
}

function readAlterPhase(reader: ByteReader, variables: StatusVariables): boolean {
  const phase = alterPhases.get(reader.uint8());
  if (phase === undefined) return false;
  if (phase !== 'start') reader.skip(8);
  variables.alterPhase = phase;
  return true;
}

/** Reads a UTF-8 name that ends with a NUL. */
function readName(reader: ByteReader): string {
  const at = reader.offset;
  while (reader.uint8() !== 0);
  return reader.buffer.toString('utf8', at, reader.offset - 1);
}

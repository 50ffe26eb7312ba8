import { ByteReader } from '../protocol/byte-reader.ts';
import { eventType } from '../protocol/event-type.ts';
import type { MariadbGtid } from './gtid.ts';
import type { LogEvent } from '../protocol/log-event.ts';

export interface TransactionStart {
  /** Null for a transaction without a GTID (gtid_mode=OFF). */
  gtid: string | null;
  /** MySQL: commit times on this server and on the original server, µs since 1970 UTC; 0 if the event has none. */
  immediateMicros: bigint;
  originalMicros: bigint;
  /** MariaDB: the group is a single statement without a commit marker after it. */
  standalone: boolean;
  /** MariaDB logs no BEGIN: the GTID itself opens the transaction. */
  opens: boolean;
  /** MariaDB: the group begins an XA transaction, without an XA START statement. */
  prepares: boolean;
}

const MARIADB_STANDALONE = 0x01;
const MARIADB_PREPARED_XA = 0x40;
/** The event also contains the original server's commit time, because it differs. */
const HAS_ORIGINAL_TIMESTAMP = 1n << 55n;

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function readUint56(reader: ByteReader): bigint {
  return BigInt(reader.uintLE(6)) | (BigInt(reader.uint8()) << 48n);
}

/** GTID_LOG_EVENT and ANONYMOUS_GTID_LOG_EVENT (MySQL libs/mysql/binlog/event/control_events.h, Gtid_event). */
function readGtid(event: LogEvent, anonymous: boolean): TransactionStart {
  const reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
  reader.skip(1);
  const uuid = uuidText(reader.bytes(16));
  const number = reader.uint64();
  let immediateMicros = 0n;
  let originalMicros = 0n;
  // The logical clock (type, last_committed, sequence_number), then the commit times in µs.
  if (reader.remaining >= 17 + 7) {
    reader.skip(17);
    const immediate = readUint56(reader);
    immediateMicros = immediate & (HAS_ORIGINAL_TIMESTAMP - 1n);
    originalMicros = immediate & HAS_ORIGINAL_TIMESTAMP ? readUint56(reader) : immediateMicros;
  }
  return {
    gtid: anonymous ? null : `${uuid}:${number}`,
    immediateMicros,
    originalMicros,
    standalone: false,
    opens: false,
    prepares: false,
  };
}

/**
 * Reads a variable-length integer of MySQL's mysql::serialization: the number of trailing one bits in the first byte is the number of
 * bytes that follow (libs/mysql/serialization/variable_length_integers.h).
 */
function readVarint(reader: ByteReader): bigint {
  const first = reader.uint8();
  let extra = 0;
  while (extra < 8 && (first >> extra) & 1) extra += 1;
  let rest = 0n;
  for (let i = 0; i < extra; i += 1) rest |= BigInt(reader.uint8()) << BigInt(8 * i);
  if (extra === 8) return rest;
  return BigInt(first >> (extra + 1)) | (rest << BigInt(7 - extra));
}

const signed = (zigzag: bigint): bigint => (zigzag & 1n ? -((zigzag + 1n) >> 1n) : zigzag >> 1n);

/** Field ids of a tagged GTID event (MySQL 8.3+, Gtid_event::define_fields). */
const tagged = {
  flags: 0n,
  uuid: 1n,
  number: 2n,
  tag: 3n,
  lastCommitted: 4n,
  sequence: 5n,
  immediate: 6n,
  original: 7n,
} as const;

/** GTID_TAGGED_LOG_EVENT: a message of (id, value) fields in ascending order of id. */
function readTaggedGtid(event: LogEvent): TransactionStart {
  const reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
  const start = reader.offset;
  const version = readVarint(reader);
  if (version !== 1n) throw new RangeError(`tagged GTID of serialization version ${version}`);
  const end = start + Number(readVarint(reader));
  readVarint(reader);
  let uuid = '';
  let tag = '';
  let number = 0n;
  let immediate = 0n;
  let original: bigint | undefined;
  while (reader.offset < end) {
    const id = readVarint(reader);
    if (id === tagged.uuid)
      uuid = uuidText(Buffer.from(Array.from({ length: 16 }, () => Number(readVarint(reader)))));
    else if (id === tagged.number) number = signed(readVarint(reader));
    else if (id === tagged.tag) tag = reader.utf8(Number(readVarint(reader)));
    else if (id === tagged.immediate) immediate = readVarint(reader);
    else if (id === tagged.original) original = readVarint(reader);
    else if (id < tagged.immediate) readVarint(reader);
    else break;
  }
  if (uuid === '' || number <= 0n) throw new RangeError('tagged GTID without uuid or number');
  return {
    gtid: tag === '' ? `${uuid}:${number}` : `${uuid}:${tag}:${number}`,
    immediateMicros: immediate,
    originalMicros: original ?? immediate,
    standalone: false,
    opens: false,
    prepares: false,
  };
}

/** MariaDB's GTID_EVENT (sql/log_event.h, Gtid_log_event): sequence number, domain, flags; the server id is in the header. */
function readMariadbGtid(event: LogEvent): TransactionStart {
  const reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
  const sequence = reader.uint64();
  const domain = reader.uint32();
  const flags = reader.uint8();
  return {
    gtid: `${domain}-${event.serverId}-${sequence}`,
    immediateMicros: 0n,
    originalMicros: 0n,
    standalone: (flags & MARIADB_STANDALONE) !== 0,
    opens: (flags & MARIADB_STANDALONE) === 0,
    prepares: (flags & MARIADB_PREPARED_XA) !== 0,
  };
}

/** MariaDB's GTID_LIST_EVENT (sql/log_event.h, Gtid_list_log_event): a count with four flag bits above it, then domain, server, number. */
export function readGtidList(event: LogEvent): MariadbGtid[] {
  const reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
  const count = reader.uint32() & 0x0fff_ffff;
  return Array.from({ length: count }, () => ({
    domain: reader.uint32(),
    server: reader.uint32(),
    sequence: reader.uint64(),
  }));
}

/** Reads the event that begins a transaction on either server. Throws a RangeError for any other event. */
export function readTransactionStart(event: LogEvent): TransactionStart {
  switch (event.type) {
    case eventType.gtid:
      return readGtid(event, false);
    case eventType.anonymousGtid:
      return readGtid(event, true);
    case eventType.gtidTagged:
      return readTaggedGtid(event);
    case eventType.mariadbGtid:
      return readMariadbGtid(event);
    default:
      throw new RangeError(`an event of type ${event.type} begins no transaction`);
  }
}

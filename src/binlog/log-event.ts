/** Event type codes (MySQL: libs/mysql/binlog/event/binlog_event.h; MariaDB: sql/log_event.h). */
export const eventType = {
  stop: 3,
  query: 2,
  rotate: 4,
  intvar: 5,
  slave: 7,
  rand: 13,
  userVar: 14,
  formatDescription: 15,
  xid: 16,
  beginLoadQuery: 17,
  executeLoadQuery: 18,
  tableMap: 19,
  writeRowsV1: 23,
  updateRowsV1: 24,
  deleteRowsV1: 25,
  incident: 26,
  heartbeat: 27,
  ignorable: 28,
  rowsQuery: 29,
  writeRows: 30,
  updateRows: 31,
  deleteRows: 32,
  gtid: 33,
  anonymousGtid: 34,
  previousGtids: 35,
  transactionContext: 36,
  viewChange: 37,
  xaPrepare: 38,
  partialUpdateRows: 39,
  transactionPayload: 40,
  heartbeatV2: 41,
  gtidTagged: 42,
  mariadbAnnotateRows: 160,
  mariadbBinlogCheckpoint: 161,
  mariadbGtid: 162,
  mariadbGtidList: 163,
  mariadbStartEncryption: 164,
  mariadbQueryCompressed: 165,
  mariadbWriteRowsCompressedV1: 166,
  mariadbUpdateRowsCompressedV1: 167,
  mariadbDeleteRowsCompressedV1: 168,
  mariadbWriteRowsCompressed: 169,
  mariadbUpdateRowsCompressed: 170,
  mariadbDeleteRowsCompressed: 171,
} as const;

/** Events that neither change a row nor end a transaction. */
export const changesNothing: ReadonlySet<number> = new Set([
  eventType.stop,
  eventType.intvar,
  eventType.slave,
  eventType.rand,
  eventType.userVar,
  eventType.beginLoadQuery,
  eventType.heartbeat,
  eventType.heartbeatV2,
  eventType.ignorable,
  eventType.rowsQuery,
  eventType.previousGtids,
  eventType.transactionContext,
  eventType.viewChange,
  eventType.mariadbAnnotateRows,
  eventType.mariadbBinlogCheckpoint,
  eventType.mariadbGtidList,
  eventType.mariadbStartEncryption,
]);

/** The header is artificial: the server made the event for this connection, it is not in the file. */
export const FLAG_ARTIFICIAL = 0x20;
/** A reader that does not know the type may pass over the event. */
export const FLAG_IGNORABLE = 0x80;

export const HEADER_BYTES = 19;
export const CHECKSUM_BYTES = 4;

export interface LogEvent {
  /** Seconds since 1970 UTC. */
  timestamp: number;
  type: number;
  serverId: number;
  /** Bytes in the log, header and checksum included. */
  size: number;
  /** Low 32 bits of where the event ends in its file; 0 where the server does not say. */
  logPos: number;
  flags: number;
  buffer: Buffer;
  /** First byte after the header. */
  bodyStart: number;
  /** End of the body, the checksum excluded. */
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

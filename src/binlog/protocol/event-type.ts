/** Event type codes (MySQL: libs/mysql/binlog/event/binlog_event.h; MariaDB: sql/log_event.h). */
export const eventType = {
  unknown: 0,
  startV3: 1,
  query: 2,
  stop: 3,
  rotate: 4,
  intvar: 5,
  load: 6,
  slave: 7,
  createFile: 8,
  appendBlock: 9,
  execLoad: 10,
  deleteFile: 11,
  newLoad: 12,
  rand: 13,
  userVar: 14,
  formatDescription: 15,
  xid: 16,
  beginLoadQuery: 17,
  executeLoadQuery: 18,
  tableMap: 19,
  preGaWriteRows: 20,
  preGaUpdateRows: 21,
  preGaDeleteRows: 22,
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
  mariadbPartialRowData: 172,
} as const;

type EventName = keyof typeof eventType;

/**
 * What the reader does with an event: `read` it; `skip` it, because it neither changes a row nor ends a transaction; or `halt`, because
 * it stands for changes that it does not contain.
 */
export type EventVerdict = 'read' | 'skip' | 'halt';

/** Every type has one verdict: a missing one is a compile error. */
const verdicts: Readonly<Record<EventName, EventVerdict>> = {
  unknown: 'halt',
  // Begins a log of MySQL 4.1 or older, whose events have other headers.
  startV3: 'halt',
  query: 'read',
  stop: 'skip',
  rotate: 'read',
  // Values for the following statement: INSERT_ID, RAND(), @variable. The statement itself is classified.
  intvar: 'skip',
  rand: 'skip',
  userVar: 'skip',
  // LOAD DATA of MySQL before 5.0.3: the log has the file of the rows, not the changes.
  load: 'halt',
  newLoad: 'halt',
  createFile: 'halt',
  execLoad: 'halt',
  // No server writes this event.
  slave: 'skip',
  // The file of a LOAD DATA that is logged as a statement; executeLoadQuery is that statement.
  beginLoadQuery: 'skip',
  appendBlock: 'skip',
  deleteFile: 'skip',
  executeLoadQuery: 'read',
  formatDescription: 'read',
  xid: 'read',
  tableMap: 'read',
  // Rows of MySQL 5.1.5 to 5.1.15, in a format used only there.
  preGaWriteRows: 'halt',
  preGaUpdateRows: 'halt',
  preGaDeleteRows: 'halt',
  writeRowsV1: 'read',
  updateRowsV1: 'read',
  deleteRowsV1: 'read',
  writeRows: 'read',
  updateRows: 'read',
  deleteRows: 'read',
  // Halts if its table is watched.
  partialUpdateRows: 'read',
  incident: 'halt',
  heartbeat: 'skip',
  heartbeatV2: 'skip',
  ignorable: 'skip',
  // The statement whose rows follow.
  rowsQuery: 'skip',
  mariadbAnnotateRows: 'skip',
  gtid: 'read',
  anonymousGtid: 'read',
  gtidTagged: 'read',
  mariadbGtid: 'read',
  // Start of a file: the GTIDs of the files before it, its encryption on disk (the server decrypts it for us).
  previousGtids: 'skip',
  mariadbGtidList: 'read',
  mariadbStartEncryption: 'skip',
  // For the server's own recovery.
  mariadbBinlogCheckpoint: 'skip',
  // Group replication: what the transaction has read and written, and the group's members.
  transactionContext: 'skip',
  viewChange: 'skip',
  xaPrepare: 'read',
  transactionPayload: 'read',
  mariadbQueryCompressed: 'read',
  mariadbWriteRowsCompressedV1: 'read',
  mariadbUpdateRowsCompressedV1: 'read',
  mariadbDeleteRowsCompressedV1: 'read',
  mariadbWriteRowsCompressed: 'read',
  mariadbUpdateRowsCompressed: 'read',
  mariadbDeleteRowsCompressed: 'read',
  // A piece of a rows event beyond binlog_row_event_fragment_threshold, 1 GB by default (MariaDB 12.3).
  mariadbPartialRowData: 'halt',
};

const byCode: readonly (EventVerdict | undefined)[] = Array.from({ length: 256 }, (_, code) => {
  const name = nameOfEvent(code);
  return name && verdicts[name];
});

/** Returns what the reader does with an event of this type; undefined for a type unknown to servers up to MySQL 9.7 and MariaDB 12. */
export function verdictOf(type: number): EventVerdict | undefined {
  return byCode[type];
}

/** Returns the name of an event type; undefined for an unknown one. */
export function nameOfEvent(type: number): EventName | undefined {
  return (Object.keys(eventType) as EventName[]).find((name) => eventType[name] === type);
}

/** Events that may require a query to the source: they are read again when its result is there. A payload copies what it needs. */
export const maySuspend: ReadonlySet<number> = new Set([
  eventType.query,
  eventType.mariadbQueryCompressed,
  eventType.executeLoadQuery,
  eventType.xaPrepare,
]);

import { randomInt } from 'node:crypto';
import { errnoOf } from '../../db/connection/connect-error.ts';
import { asCommandConnection, dumpPacket, registerPacket, ServerCommand } from '../protocol/dump-command.ts';
import { eventType } from '../protocol/event-type.ts';
import { formatGtidSet, parseGtidSet } from '../gtid/gtid-set.ts';
import { isAtLeast } from './server-version.ts';
import type { Source, SourceIdentity } from './source.ts';
import type { LogPlace, Position } from '../types.ts';

/** One file of the source's binary log. */
export interface LogFile {
  name: string;
  bytes: number;
}

/** The result of SHOW BINARY LOG STATUS: where the log ends, and which schemas it omits. */
export interface LogStatus extends LogPlace {
  /** If not empty, only these schemas are logged. */
  doSchemas: readonly string[];
  ignoredSchemas: readonly string[];
  /** MySQL with GTIDs: the executed set, on one line; otherwise empty. */
  executed: string;
}

/** Lists the files from the oldest to the one being written. Needs REPLICATION CLIENT. */
export async function listLogFiles(source: Source): Promise<LogFile[]> {
  const rows = await source.query('SHOW BINARY LOGS');
  return rows.map((row) => ({ name: String(row['Log_name']), bytes: Number(row['File_size']) }));
}

/** Reads the log's status; undefined when the binary log is off. Needs REPLICATION CLIENT. */
export async function readLogStatus(
  source: Source,
  { version }: Pick<SourceIdentity, 'version'>,
): Promise<LogStatus | undefined> {
  const renamed = version.flavour === 'mysql' && isAtLeast(version, '8.2.0');
  const [row] = await source.query(renamed ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS');
  if (!row) return undefined;
  const list = (name: string): string[] =>
    String(row[name] ?? '')
      .split(',')
      .filter((each) => each !== '');
  return {
    file: String(row['File']),
    offset: Number(row['Position']),
    doSchemas: list('Binlog_Do_DB'),
    ignoredSchemas: list('Binlog_Ignore_DB'),
    executed: formatGtidSet(parseGtidSet(String(row['Executed_Gtid_Set'] ?? ''))),
  };
}

/** Returns the current end of the log: the position of a first run with `start_from: now`. Undefined when the binary log is off. */
export async function currentPosition(
  source: Source,
  identity: SourceIdentity,
): Promise<Position | undefined> {
  // Queried first: a transaction between the two queries is then read unnecessarily, but never skipped.
  const mariadbGtid = identity.flavour === 'mariadb' ? await globalVariable(source, 'gtid_binlog_pos') : null;
  const status = await readLogStatus(source, identity);
  if (!status) return undefined;
  const gtid = identity.gtidMode === 'on' ? (mariadbGtid ?? status.executed) : null;
  return withCreation(source, { gtid, file: status.file, offset: status.offset });
}

/** Returns the start of the log: the position of a first run with `start_from: oldest`. Undefined when the binary log is off. */
export async function oldestPosition(
  source: Source,
  identity: SourceIdentity,
): Promise<Position | undefined> {
  const [oldest] = await listLogFiles(source);
  return oldest && startOfFile(source, identity, oldest.name);
}

/** Returns the position at the beginning of a log file. Needs REPLICATION SLAVE. */
export async function startOfFile(source: Source, identity: SourceIdentity, file: string): Promise<Position> {
  let gtid: string | null = null;
  if (identity.flavour === 'mariadb') gtid = await gtidAtStart(source, file);
  else if (identity.gtidMode === 'on') gtid = await previousGtids(source, file);
  return withCreation(source, { gtid, file, offset: 4 });
}

/** MySQL: the set executed before the file was begun, from its second event. */
async function previousGtids(source: Source, file: string): Promise<string> {
  const rows = await source.query('SHOW BINLOG EVENTS IN ? LIMIT 2', [file]);
  const row = rows.find((each) => each['Event_type'] === 'Previous_gtids');
  return formatGtidSet(parseGtidSet(String(row?.['Info'] ?? '')));
}

async function withCreation(source: Source, position: Position): Promise<Position> {
  const fileCreatedAt = await readFileCreatedAt(source, position.file);
  return fileCreatedAt === undefined ? position : { ...position, fileCreatedAt };
}

/** MariaDB: the last transaction of each domain before the file was begun. */
export async function gtidAtStart(source: Source, file: string): Promise<string> {
  return (await gtidAt(source, { file, offset: 4 })) ?? '';
}

/** MariaDB: the last transaction of each domain before a place of the log; null when the log has no such place. */
export async function gtidAt(source: Source, { file, offset }: LogPlace): Promise<string | null> {
  const [row] = await source.query('SELECT BINLOG_GTID_POS(?, ?) AS gtid', [file, offset]);
  const gtid = row?.['gtid'];
  return typeof gtid === 'string' ? gtid : null;
}

export async function globalVariable(
  source: Source,
  name: 'gtid_binlog_pos' | 'gtid_binlog_state',
): Promise<string> {
  const [row] = await source.query(`SELECT @@GLOBAL.${name} AS value`);
  return String(row!['value'] ?? '');
}

/**
 * Returns when a log file was begun, seconds since 1970 UTC, from its first event, which no SQL statement shows; undefined when the
 * server does not send the file. Reads it over its own connection with a random server id, and closes it.
 */
export async function readFileCreatedAt(source: Source, file: string): Promise<number | undefined> {
  const connection = await source.connect();
  try {
    await new Promise<void>((resolve, reject) => {
      connection.query(
        'SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, @mariadb_slave_capability = 4',
        (error) => (error ? reject(error) : resolve()),
      );
    });
    const packet = dumpPacket({ serverId: randomServerId(), file, offset: 4, endsWithLog: true });
    return await new Promise<number | undefined>((resolve) => {
      const command = new ServerCommand(packet, {
        onPacket(buffer, start) {
          // An artificial rotate event comes first; it has no time.
          if (buffer[start + 4] !== eventType.formatDescription) return false;
          resolve(buffer.readUInt32LE(start));
          return true;
        },
        onEnd: () => resolve(undefined),
        onError: () => resolve(undefined),
      });
      asCommandConnection(connection).addCommand(command);
    });
  } finally {
    hangUp(connection);
  }
}

/**
 * Whether a log file was begun before a time, ms since 1970 UTC. A session can set the time of a file that its statement begins (`SET
 * timestamp; FLUSH LOGS`, seen on MySQL 9.7 and MariaDB 10.11): a file that claims to be older than its predecessor is not trusted, and
 * counts as begun later.
 */
export async function isBegunBefore(
  source: Source,
  { files, index }: { files: readonly LogFile[]; index: number },
  atMs: number,
): Promise<boolean> {
  const begunMs = async (at: number): Promise<number> =>
    ((await readFileCreatedAt(source, files[at]!.name)) ?? 0) * 1_000;
  const claimedMs = await begunMs(index);
  if (claimedMs >= atMs) return false;
  return index === 0 || (await begunMs(index - 1)) <= claimedMs;
}

/** Whether our user has REPLICATION SLAVE: tested by registering as a replica, on a connection that is then closed. */
export async function mayReplicate(source: Source): Promise<boolean> {
  const connection = await source.connect();
  try {
    await new Promise<void>((resolve, reject) => {
      const command = new ServerCommand(
        registerPacket({ serverId: randomServerId(), host: 'odontology-webhooks' }),
        {
          onPacket() {
            resolve();
            return true;
          },
          onEnd: resolve,
          onError: reject,
        },
      );
      asCommandConnection(connection).addCommand(command);
    });
    return true;
  } catch (error) {
    const number = errnoOf(error);
    if (number === 1227 || number === 1045) return false;
    throw error;
  } finally {
    hangUp(connection);
  }
}

/** Above the ids that administrators usually choose, so that no other reader is disconnected. */
export function randomServerId(): number {
  return randomInt(0x8000_0000, 0xffff_ffff);
}

function hangUp(connection: Awaited<ReturnType<Source['connect']>>): void {
  // Destroy the socket first: mysql2 would still deliver the packets that it has buffered.
  asCommandConnection(connection).stream.destroy();
  connection.destroy();
}

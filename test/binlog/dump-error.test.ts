import { createConnection as createProtocolConnection, type Connection as ProtocolConnection } from 'mysql2';
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  asCommandConnection,
  dumpGtidPacket,
  dumpPacket,
  ServerCommand,
} from '../../src/binlog/protocol/dump-command.ts';
import { classifyDumpError, type DumpErrorKind } from '../../src/binlog/protocol/dump-error.ts';
import { encodeGtidSet, parseGtidSet } from '../../src/binlog/gtid/gtid-set.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { errnoOf } from '../../src/db/connection/connect-error.ts';
import { purgeLogs } from '../support/purge-logs.ts';
import { servers, sharedServer } from '../support/server.ts';

interface Dump {
  payload: Buffer;
  /** Run before the dump. */
  sql?: string[];
  user?: { user: string; password: string };
}

interface RunningDump {
  /** The first event has come. */
  begun: Promise<undefined>;
  ended: Promise<Error>;
  close: () => void;
}

async function startDump(server: PrivateServer, { payload, sql = [], user }: Dump): Promise<RunningDump> {
  const connection: ProtocolConnection = createProtocolConnection({
    host: server.host,
    port: server.port,
    ...(user ?? { user: 'root' }),
  });
  connection.on('error', () => undefined);
  const settings = ['SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, @mariadb_slave_capability = 4'];
  for (const statement of [...settings, ...sql]) {
    await new Promise<void>((resolve, reject) => {
      connection.query(statement, (error) => (error ? reject(error) : resolve()));
    });
  }
  const begun = Promise.withResolvers<undefined>();
  const ended = Promise.withResolvers<Error>();
  const command = new ServerCommand(payload, {
    onPacket() {
      begun.resolve(undefined);
      return false;
    },
    onEnd: () => ended.resolve(new Error('the dump ended without an error')),
    onError: ended.resolve,
  });
  asCommandConnection(connection).addCommand(command);
  return { begun: begun.promise, ended: ended.promise, close: () => connection.destroy() };
}

describe.each(servers)('the end of a dump on %s', (variant) => {
  const { flavour } = sharedServer(variant);
  let server: PrivateServer;
  let root: Connection;
  let file: string;
  let end: number;

  async function kindOf(dump: Dump): Promise<DumpErrorKind> {
    const { ended, close } = await startDump(server, dump);
    const error = await ended;
    close();
    return classifyDumpError(errnoOf(error), error.message, flavour).kind;
  }

  const byFile = (name: string, offset: number): Buffer =>
    dumpPacket({ serverId: 4_000_000_001, file: name, offset });

  const byGtid = (gtid: string): Dump =>
    flavour === 'mysql'
      ? { payload: dumpGtidPacket({ serverId: 4_000_000_001, gtidSet: encodeGtidSet(parseGtidSet(gtid)) }) }
      : {
          payload: byFile('', 4),
          sql: [`SET @slave_connect_state = '${gtid}', @slave_gtid_strict_mode = 1`],
        };

  beforeAll(async () => {
    server = await startPrivateServer({ flavour: variant });
    root = await createConnection({ uri: server.url, multipleStatements: true });
    await root.query(
      "CREATE DATABASE c; CREATE TABLE c.t (id INT PRIMARY KEY); CREATE USER weak@'%' IDENTIFIED BY 'weak'",
    );
    const [rows] = await root.query(flavour === 'mysql' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS');
    const [status] = rows as Record<string, unknown>[];
    file = String(status!['File']);
    end = Number(status!['Position']);
  });

  afterAll(async () => {
    await root.end();
    await server.stop();
  });

  it('is recognised by file and offset', async () => {
    expect(await kindOf({ payload: byFile('binlog.999999', 4) })).toBe('no-such-file');
    expect(await kindOf({ payload: byFile(file, end + 1_000) })).toBe('offset-beyond-file');
    expect(await kindOf({ payload: byFile(file, 60) })).toBe('offset-inside-event');
    expect(await kindOf({ payload: byFile(file, 2) })).toMatch(/^(bad-request|offset-beyond-file)$/);
  });

  it('is recognised by GTID', async () => {
    const [rows] = await root.query(
      flavour === 'mysql' ? 'SELECT @@server_uuid AS source' : 'SELECT @@server_id AS source',
    );
    const [row] = rows as Record<string, unknown>[];
    const source = String(row!['source']);
    expect(await kindOf(byGtid(flavour === 'mysql' ? `${source}:1-1000` : `0-${source}-1000`))).toBe(
      'ahead-of-source',
    );
    if (flavour === 'mariadb') expect(await kindOf(byGtid('0-77-1'))).toBe('diverged');
    await root.query('FLUSH BINARY LOGS');
    await root.query('INSERT INTO c.t VALUES (1)');
    await purgeLogs(async (sql) => (await root.query<RowDataPacket[]>(sql))[0]);
    expect(await kindOf(byGtid(flavour === 'mysql' ? `${source}:1` : `0-${source}-1`))).toBe('purged');
  });

  it('is an access error without the privilege', async () => {
    expect(await kindOf({ payload: byFile(file, 4), user: { user: 'weak', password: 'weak' } })).toBe(
      'access-denied',
    );
  });

  it('is a collision when another reader comes with the same ids', async () => {
    const uuid = "SET @slave_uuid = '00000000-0000-0000-0000-00000000000a', @replica_uuid = @slave_uuid";
    const [rows] = await root.query(flavour === 'mysql' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS');
    const payload = byFile(String((rows as Record<string, unknown>[])[0]!['File']), 4);
    const first = await startDump(server, { payload, sql: [uuid] });
    await first.begun;
    const second = await startDump(server, { payload, sql: [uuid] });
    await second.begun;
    const error = await first.ended;
    const meaning = classifyDumpError(errnoOf(error), error.message, flavour);
    expect(meaning).toMatchObject({ kind: 'server-id-taken', halt: null, retryable: false });
    second.close();
  });

  it('is a broken connection when the server dies', async () => {
    const [rows] = await root.query(flavour === 'mysql' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS');
    const dump = await startDump(server, {
      payload: byFile(String((rows as Record<string, unknown>[])[0]!['File']), 4),
    });
    await dump.begun;
    root.on('error', () => undefined);
    await server.kill('SIGKILL');
    const error = await dump.ended;
    expect(classifyDumpError(errnoOf(error), error.message, flavour)).toMatchObject({
      kind: 'connection',
      retryable: true,
      halt: null,
    });
    root.destroy();
  });
});

describe('what the end of a dump means', () => {
  it('goes by number and flavour, because mysql2 names MariaDB’s numbers from MySQL’s table', () => {
    expect(classifyDumpError(4052, 'whatever', 'mariadb').kind).toBe('server-id-taken');
    expect(classifyDumpError(4052, 'whatever', 'mysql').kind).toBe('connection');
  });

  it('is the log’s own fault when the text is not known', () => {
    expect(classifyDumpError(1236, 'I/O error reading log event', 'mysql')).toMatchObject({
      kind: 'log-unreadable',
      retryable: true,
    });
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise';
import { proveLineage } from '../../src/binlog/position/lineage.ts';
import type { Checkpoint, Lineage } from '../../src/binlog/position/verdict.ts';
import {
  currentPosition,
  listLogFiles,
  oldestPosition,
  readFileCreatedAt,
} from '../../src/binlog/source/log-file.ts';
import { estimateRunway } from '../../src/binlog/position/runway.ts';
import { openSource, type Source } from '../../src/binlog/source/source.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import type { ServerVariant } from '../../src/demo/server-binaries.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { endOfLog, openReader, takeUntil } from '../support/read-log.ts';
import { purgeLogs } from '../support/purge-logs.ts';
import { createSchema, servers, sharedServer } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

/** A server of its own, whose log may be purged and reset. */
interface Clinic {
  server: PrivateServer;
  source: Source;
  sql(text: string): Promise<void>;
  /** Makes so many transactions. */
  work(count: number): Promise<void>;
  checkpoint(): Promise<Checkpoint>;
  prove(checkpoint: Checkpoint): Promise<Lineage>;
  /** Purges all files but the one being written; returns that one's name. */
  purge(): Promise<string>;
  close(): Promise<void>;
}

async function startClinic(variant: ServerVariant, settings: string[] = []): Promise<Clinic> {
  const server = await startPrivateServer({ flavour: variant, settings });
  const { flavour } = server;
  const source = openSource(parseDatabaseUrl(`${server.url}/`));
  async function withRoot<T>(use: (root: Connection) => Promise<T>): Promise<T> {
    const root = await createConnection({ uri: server.url, multipleStatements: true });
    try {
      return await use(root);
    } finally {
      await root.end();
    }
  }
  const clinic: Clinic = {
    server,
    source,
    sql: (text) =>
      withRoot(async (root) => {
        await root.query(text);
      }),
    work: (count) =>
      withRoot(async (root) => {
        for (let i = 0; i < count; i += 1) await root.query('INSERT INTO c.t VALUES (NULL)');
      }),
    async checkpoint() {
      const identity = await source.identify();
      const position = await currentPosition(source, identity);
      return {
        position: position!,
        flavour,
        serverUuid: identity.serverUuid,
        committedAtMs: Date.parse('2026-03-07T15:30:00.000Z'),
      };
    },
    prove: async (checkpoint) => proveLineage(source, await source.identify(), checkpoint),
    purge: () => withRoot((root) => purgeLogs(async (sql) => (await root.query<RowDataPacket[]>(sql))[0])),
    async close() {
      await source.close();
      await server.stop();
    },
  };
  await clinic.sql(tables);
  await clinic.work(3);
  return clinic;
}

const tables = 'CREATE DATABASE c; CREATE TABLE c.t (id INT AUTO_INCREMENT PRIMARY KEY)';
const resetStatement = { mysql: 'RESET BINARY LOGS AND GTIDS', mariadb: 'RESET MASTER' } as const;

/** A second file of the log whose name does not tell it from the first history's. */
async function resetTo(
  clinic: Clinic,
  flavour: 'mysql' | 'mariadb',
  { transactions }: { transactions: number },
): Promise<void> {
  const [before] = await listLogFiles(clinic.source);
  const begun = Date.now();
  // Files are distinguished by the second in which they were begun.
  await waitFor(() => Date.now() - begun > 1_000, { what: 'the next second' });
  await clinic.sql(resetStatement[flavour]);
  await clinic.work(transactions);
  expect((await listLogFiles(clinic.source))[0]!.name).toBe(before!.name);
}

describe.each([
  {
    name: 'MySQL with GTIDs',
    variant: 'mysql' as const,
    flavour: 'mysql' as const,
    settings: [],
    gtids: true,
  },
  {
    name: 'MySQL without GTIDs',
    variant: 'mysql' as const,
    flavour: 'mysql' as const,
    settings: ['gtid-mode=OFF', 'enforce-gtid-consistency=OFF'],
    gtids: false,
  },
  { name: 'MariaDB', variant: 'mariadb' as const, flavour: 'mariadb' as const, settings: [], gtids: true },
  {
    name: 'MariaDB 11.8',
    variant: 'mariadb-11.8' as const,
    flavour: 'mariadb' as const,
    settings: [],
    gtids: true,
  },
])('lineage on $name', ({ variant, flavour, settings, gtids }) => {
  let clinic: Clinic;

  beforeAll(async () => {
    clinic = await startClinic(variant, settings);
  });

  afterAll(() => clinic.close());

  it('holds from the end, from the beginning, after rotations and after a restart', async () => {
    const identity = await clinic.source.identify();
    const oldest = await oldestPosition(clinic.source, identity);
    const atBeginning = { ...(await clinic.checkpoint()), position: oldest!, committedAtMs: null };
    const now = await clinic.checkpoint();
    expect(now.position.gtid === null).toBe(!gtids);
    expect(now.position.fileCreatedAt).toBeGreaterThan(Date.parse('2020-01-01') / 1_000);
    expect(await clinic.prove(now)).toEqual({ kind: 'ok' });
    expect(await clinic.prove(atBeginning)).toEqual({ kind: 'ok' });
    await clinic.sql('FLUSH BINARY LOGS');
    await clinic.work(2);
    expect(await clinic.prove(now)).toEqual({ kind: 'ok' });
    await clinic.server.restart();
    await clinic.work(1);
    expect(await clinic.prove(now)).toEqual({ kind: 'ok' });
    expect(await clinic.prove(atBeginning)).toEqual({ kind: 'ok' });
  });

  it('halts at purged log, with what is missing and when it was committed', async () => {
    const old = await clinic.checkpoint();
    await clinic.work(5);
    await clinic.sql('FLUSH BINARY LOGS');
    const newest = await clinic.purge();
    const proof = await clinic.prove(old);
    expect(proof).toMatchObject({
      kind: 'purged',
      span: { fromMs: old.committedAtMs, untilMs: expect.any(Number) },
    });
    if (proof.kind === 'ok') throw new Error('unreachable');
    expect(proof.message).toContain('2026-03-07T15:30:00.000Z');
    expect(Math.abs(proof.span.untilMs! - Date.now())).toBeLessThan(60_000);
    expect(proof.remedy).toContain('resume --accept-gap');
    if (gtids) expect(proof.message).toContain('5 transactions');
    else expect(proof.missing).toBe(`${old.position.file}:${old.position.offset} to ${newest}:4`);
    // A file's creation is known to the second, a commit to the millisecond; and a clock may have been set back between them.
    const begunMs = (await readFileCreatedAt(clinic.source, newest))! * 1_000;
    for (const [afterMs, untilMs] of [
      [855, begunMs + 999],
      [5_000, null],
    ] as const)
      expect(await clinic.prove({ ...old, committedAtMs: begunMs + afterMs })).toMatchObject({
        span: { fromMs: begunMs + afterMs, untilMs },
      });
    expect(await clinic.prove(await clinic.checkpoint())).toEqual({ kind: 'ok' });
  });

  it('does not halt when the purged log had been read', async () => {
    await clinic.work(1);
    await clinic.sql('FLUSH BINARY LOGS');
    const now = await clinic.checkpoint();
    expect(await clinic.purge()).toBe(now.position.file);
    expect(await clinic.prove(now)).toEqual({ kind: 'ok' });
  });

  it('halts at a server that lost what was read', async () => {
    const now = await clinic.checkpoint();
    const further = { ...now, position: { ...now.position, offset: now.position.offset + 1_000 } };
    if (flavour === 'mysql' && gtids)
      further.position.gtid = now.position.gtid!.replace(/(\d+)$/, (last) => `${Number(last) + 7}`);
    if (flavour === 'mariadb')
      further.position.gtid = now.position.gtid!.replace(/(\d+)$/, (last) => `${Number(last) + 7}`);
    const proof = await clinic.prove(further);
    expect(proof).toMatchObject({ kind: 'ahead-of-source' });
    if (flavour === 'mysql' && gtids && proof.kind !== 'ok')
      expect(proof.message).toContain('lacks 7 transactions');
  });

  it('halts at another server', async () => {
    const now = await clinic.checkpoint();
    const theirs = {
      ...now,
      serverUuid: '00000000-1111-2222-3333-444444444444',
      position: {
        ...now.position,
        gtid: !gtids ? null : flavour === 'mysql' ? '00000000-1111-2222-3333-444444444444:1-9' : '0-77-9',
      },
    };
    expect(await clinic.prove(theirs)).toMatchObject({ kind: 'foreign-server' });
    expect(await clinic.prove({ ...now, flavour: flavour === 'mysql' ? 'mariadb' : 'mysql' })).toMatchObject({
      kind: 'foreign-server',
    });
  });

  it('halts at a server that was reset, before and after it has caught up with the old numbers', async () => {
    await clinic.sql(resetStatement[flavour]);
    await clinic.work(6);
    const old = await clinic.checkpoint();
    await resetTo(clinic, flavour, { transactions: 1 });
    expect((await clinic.prove(old)).kind).toMatch(/^(ahead-of-source|diverged)$/);
    await clinic.work(50);
    const proof = await clinic.prove(old);
    expect(proof).toMatchObject({ kind: 'diverged' });
    if (proof.kind !== 'ok')
      expect(proof.message).toContain(`The log file ${old.position.file} was begun at`);
  });

  it('halts at a server whose log begins anew under lower file numbers', async () => {
    for (let i = 0; i < 3; i += 1) await clinic.sql('FLUSH BINARY LOGS');
    const old = await clinic.checkpoint();
    await clinic.sql(resetStatement[flavour]);
    await clinic.work(200);
    expect((await clinic.prove(old)).kind).toMatch(/^(ahead-of-source|diverged)$/);
  });
});

describe.each(servers)('a failover on %s', (variant) => {
  const { flavour } = sharedServer(variant);
  let clinic: Clinic;
  let replica: Clinic;

  beforeAll(async () => {
    clinic = await startClinic(variant);
    replica = await startClinic(variant, flavour === 'mariadb' ? ['log-slave-updates=ON'] : []);
    await replica.sql(`DROP DATABASE c; ${resetStatement[flavour]}`);
    const { host, port } = clinic.server;
    await replica.sql(
      flavour === 'mysql'
        ? `CHANGE REPLICATION SOURCE TO SOURCE_HOST='${host}', SOURCE_PORT=${port}, SOURCE_USER='root', SOURCE_AUTO_POSITION=1; START REPLICA`
        : `SET GLOBAL gtid_slave_pos=''; CHANGE MASTER TO MASTER_HOST='${host}', MASTER_PORT=${port}, MASTER_USER='root', MASTER_USE_GTID=slave_pos; START SLAVE`,
    );
  });

  afterAll(async () => {
    await replica.close();
    await clinic.close();
  });

  it('to a replica that has all that was read is followed; to one that lacks some of it, not', async () => {
    await clinic.work(4);
    const shared = await clinic.checkpoint();
    await waitFor(async () => (await replica.prove(shared)).kind === 'ok', {
      what: 'the replica to catch up',
    });
    await replica.sql(flavour === 'mysql' ? 'STOP REPLICA' : 'STOP SLAVE');
    await clinic.work(2);
    const beyond = await clinic.checkpoint();
    await clinic.server.kill('SIGKILL');
    await replica.work(5);
    expect(await replica.prove(shared)).toEqual({ kind: 'ok' });
    const proof = await replica.prove(beyond);
    expect(proof).toMatchObject({ kind: 'ahead-of-source' });
    if (proof.kind !== 'ok')
      expect(proof.missing).toMatch(flavour === 'mysql' ? /:\d+-\d+$/ : /^0-\d+-\d+ to 0-\d+-\d+$/);
  });

  it('is refused for a position by file and offset', async () => {
    const now = await replica.checkpoint();
    const byFile = { ...now, serverUuid: 'another', position: { ...now.position, gtid: null } };
    const proof = await replica.prove(byFile);
    expect(proof).toMatchObject({ kind: 'foreign-server' });
    if (proof.kind !== 'ok') expect(proof.message).toContain('gtid_mode=ON');
  });
});

describe.each([
  { name: 'by GTID on MySQL', flavour: 'mysql' as const, byFile: false },
  { name: 'by file and offset on MySQL', flavour: 'mysql' as const, byFile: true },
  { name: 'by GTID on MariaDB', flavour: 'mariadb' as const, byFile: false },
])('what a reader $name gives out', ({ flavour, byFile }) => {
  it('says when its file was begun, as the server does, within a file and after a rotation', async () => {
    const schema = await createSchema(sharedServer(flavour), 'CREATE TABLE t (id INT PRIMARY KEY)');
    const source = openSource(parseDatabaseUrl(schema.url()));
    const identity = await source.identify();
    await schema.query('INSERT INTO t VALUES (1)');
    const end = await endOfLog(flavour, schema);
    const reader = await openReader({
      flavour,
      schema,
      watch: { t: ['id'] },
      position: byFile ? { ...end, gtid: null } : end,
    });
    for (const statement of ['INSERT INTO t VALUES (2)', 'FLUSH BINARY LOGS; INSERT INTO t VALUES (3)']) {
      await schema.query(statement);
      const [last] = (await takeUntil(reader, ({ rows }) => rows.length > 0)).slice(-1);
      const { position, committedAtMs } = last!.commit!;
      expect(position.fileCreatedAt).toBe(await readFileCreatedAt(source, position.file));
      const checkpoint = { position, committedAtMs, flavour, serverUuid: identity.serverUuid };
      expect(await proveLineage(source, identity, checkpoint)).toEqual({ kind: 'ok' });
    }
    reader.close();
    await source.close();
    await schema.drop();
  });
});

describe.each(servers)('the runway on %s', (variant) => {
  let clinic: Clinic;

  beforeAll(async () => {
    clinic = await startClinic(variant, ['binlog-expire-logs-seconds=3600']);
  });

  afterAll(() => clinic.close());

  it('is the whole retention for the file being written, less the age of a finished one, none when it is gone', async () => {
    const { position } = await clinic.checkpoint();
    expect(await estimateRunway(clinic.source, position)).toMatchObject({
      untilPurgeMs: 3_600_000,
      retentionMs: 3_600_000,
      behindBytes: 0,
      bytesPerSecond: null,
    });
    await clinic.sql('FLUSH BINARY LOGS');
    await clinic.work(3);
    const inAnHour = { now: () => Date.now() + 3_000_000 };
    const later = await estimateRunway(clinic.source, position, inAnHour);
    expect(later.untilPurgeMs).toBeGreaterThan(500_000);
    expect(later.untilPurgeMs).toBeLessThanOrEqual(602_000);
    expect(later.behindBytes).toBeGreaterThan(500);
    expect(later.bytesPerSecond).toBeGreaterThan(0);
    expect(await estimateRunway(clinic.source, { ...position, file: 'binlog.000000' })).toMatchObject({
      untilPurgeMs: 0,
    });
    await clinic.sql('SET GLOBAL binlog_expire_logs_seconds = 0');
    expect(await estimateRunway(clinic.source, position)).toMatchObject({
      untilPurgeMs: null,
      retentionMs: null,
    });
  });
});

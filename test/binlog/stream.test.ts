import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BinlogStream } from '../../src/binlog/stream.ts';
import type { Position, TransactionPart } from '../../src/binlog/types.ts';
import type { PrivateServer } from '../../src/demo/private-server.ts';
import { monotonicMs } from '../../src/lib/clock.ts';
import { AppError } from '../../src/lib/errors.ts';
import { byName, endOfLog, openReader, takeRows, type ReadOptions } from '../support/read-log.ts';
import type { TestSchema } from '../support/server.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { waitFor } from '../support/wait-for.ts';
import { modes, startMode } from './modes.ts';

const MEGABYTE = 1024 * 1024;

/** What the reader gives out before it ends, and with what. */
async function untilEnd(stream: BinlogStream): Promise<{ parts: TransactionPart[]; error: AppError }> {
  const parts: TransactionPart[] = [];
  try {
    for (;;) {
      const taken = await stream.take();
      if (taken.length === 0) throw new Error('closed without an error');
      parts.push(...taken);
    }
  } catch (error) {
    if (error instanceof AppError) return { parts, error };
    throw error;
  }
}

const idsOf = (parts: readonly TransactionPart[]): number[] =>
  parts.flatMap(({ rows }) => rows.map((row) => byName(row, 'after')['id'] as number));

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

/** The rows of whole transactions, and where to continue after the last of them. */
function wholeOf(parts: readonly TransactionPart[]): { ids: number[]; position: Position | undefined } {
  const last = parts.findLastIndex(({ commit }) => commit !== null);
  return { ids: idsOf(parts.slice(0, last + 1)), position: parts[last]?.commit?.position };
}

describe.each(modes)('the stream of $name', (mode) => {
  const { flavour } = mode;
  let server: PrivateServer;
  let schema: TestSchema;
  let proxy: TcpProxy;

  beforeAll(async () => {
    ({ server, schema } = await startMode(mode));
    proxy = await startTcpProxy(server);
  });
  afterAll(async () => {
    await proxy.stop();
    await schema.drop();
    await server.stop();
  });
  beforeEach(async () => {
    await schema.query('TRUNCATE TABLE t');
  });

  const open = (extra: Partial<ReadOptions> = {}): Promise<BinlogStream> =>
    openReader({
      flavour,
      schema,
      watch: { t: ['id'] },
      url: proxy.through(schema.url()),
      heartbeatMs: 200,
      ...extra,
    });

  const insert = (count = 1, kilobytes = 0): Promise<unknown> =>
    schema.query(
      Array.from(
        { length: count },
        () => `INSERT INTO t (text) VALUES (REPEAT('x', ${kilobytes * 1024}))`,
      ).join(';'),
    );

  async function dumpSessions(): Promise<number[]> {
    const sessions = await schema.sessions();
    return sessions.filter(({ command }) => command.startsWith('Binlog Dump')).map(({ id }) => id);
  }

  /** A reader, and the server's session that dumps the log for it. MariaDB keeps those of closed readers until it next has something to send. */
  async function openWithSession(
    extra: Partial<ReadOptions>,
  ): Promise<{ stream: BinlogStream; session: number }> {
    const before = await dumpSessions();
    const stream = await open(extra);
    const session = await waitFor(async () => (await dumpSessions()).find((id) => !before.includes(id)), {
      what: 'the dump in the process list',
    });
    return { stream, session };
  }

  it('stays connected to a quiet server by its heartbeats alone', async () => {
    const stream = await open();
    const began = monotonicMs();
    let bytes = 0;
    let heartbeats = 0;
    await waitFor(
      () => {
        if (proxy.received() > bytes) heartbeats += 1;
        bytes = proxy.received();
        return heartbeats >= 12;
      },
      { what: 'twelve heartbeats' },
    );
    expect(monotonicMs() - began).toBeGreaterThan(1_000);
    expect(stream.silentMs()).toBeLessThan(600);
    await insert();
    expect(await takeRows(stream, 1)).toHaveLength(1);
    stream.close();
  });

  it.each(['freeze', 'halfOpen'] as const)(
    'notices within three heartbeats that the connection is dead: %s',
    async (fault) => {
      const position = await endOfLog(flavour, schema);
      const stream = await open({ position });
      await insert();
      const before = await stream.take();
      const began = monotonicMs();
      proxy[fault]();
      await insert();
      const { parts, error } = await untilEnd(stream);
      const tookMs = monotonicMs() - began;
      proxy.thaw();
      expect(error).toMatchObject({ code: 'ERR_SOURCE_UNREACHABLE', retryable: true });
      expect(error.message).toContain('silent for 3 heartbeats');
      expect(tookMs).toBeLessThan(3 * 200 + 400);
      const read = wholeOf([...before, ...parts]);
      const again = await open({ position: read.position ?? position });
      const rows = await takeRows(again, 2 - read.ids.length);
      again.close();
      expect([...read.ids, ...rows.map((row) => byName(row, 'after')['id'])]).toEqual([1, 2]);
    },
  );

  it('does not take a long event for silence: its bytes are heard', async () => {
    const stream = await open();
    await insert(1, 12 * 1024);
    const megabytes = (): number => proxy.received() / MEGABYTE;
    const began = megabytes();
    const startedAt = monotonicMs();
    while (monotonicMs() - startedAt < 1_500 && megabytes() - began < 10) {
      const heldAt = monotonicMs();
      proxy.freeze();
      await waitFor(() => monotonicMs() - heldAt > 250, { what: 'more than a heartbeat' });
      const before = megabytes();
      proxy.thaw();
      // Looked at often: on a fast machine the whole event passes within a few of the usual looks.
      await waitFor(() => megabytes() > before, { what: 'some more of the event', everyMs: 1 });
    }
    expect(monotonicMs() - startedAt).toBeGreaterThan(3 * 200);
    expect(await takeRows(stream, 1)).toHaveLength(1);
    stream.close();
  });

  it('notices a cut at once', async () => {
    const stream = await open({ heartbeatMs: 30_000 });
    await insert();
    await takeRows(stream, 1);
    const began = monotonicMs();
    proxy.cut();
    const { error } = await untilEnd(stream);
    expect(monotonicMs() - began).toBeLessThan(1_000);
    expect(error).toMatchObject({ code: 'ERR_SOURCE_UNREACHABLE', retryable: true });
  });

  it('is reported when an administrator kills the dump', async () => {
    const { stream, session } = await openWithSession({ heartbeatMs: 30_000 });
    await schema.query(`KILL ${session}`);
    // MariaDB notices the kill when it next has something to send.
    await insert();
    const { error } = await untilEnd(stream);
    expect(error).toMatchObject({ code: 'ERR_SOURCE_UNREACHABLE', retryable: true });
  });

  it('loses nothing and doubles nothing over cuts, kills, rotations and large transactions', async () => {
    const position = await endOfLog(flavour, schema);
    const writer = await schema.connect();
    const total = 1_200;
    const writing = (async () => {
      for (let id = 1; id < total - 200; id += 1) {
        await writer.query('INSERT INTO t (text) VALUES (?)', ['x'.repeat(id % 7 === 0 ? 50_000 : 10)]);
        if (id % 150 === 0) await writer.query('FLUSH BINARY LOGS');
      }
      await writer.query(
        `INSERT INTO t (id, text) VALUES ${upTo(201)
          .map((i) => `(${total - 201 + i}, REPEAT('y', 60000))`)
          .join(',')}`,
      );
    })();
    const ids: number[] = [];
    let from = position;
    let readers = 0;
    while (ids.length < total) {
      const stream = await open({ position: from, heartbeatMs: 1_000 });
      readers += 1;
      let parts: TransactionPart[] = [];
      try {
        while (ids.length + idsOf(parts).length < total || parts.at(-1)?.commit === null) {
          parts.push(...(await stream.take()));
          if (readers < 12 && parts.length > 20 + readers) proxy.cut();
        }
      } catch (error) {
        expect(error).toMatchObject({ retryable: true });
      }
      stream.close();
      const whole = wholeOf(parts);
      ids.push(...whole.ids);
      from = whole.position ?? from;
      parts = [];
    }
    await writing;
    expect(readers).toBe(12);
    expect(ids).toEqual(upTo(total));
  });

  it('holds the server back while nothing is taken, within its buffer, and loses nothing', async () => {
    const stream = await open({ bufferBytes: 2 * MEGABYTE });
    const before = proxy.received();
    await insert(240, 256);
    // Sockets and proxy hold some megabytes of their own; the log holds 60.
    expect(proxy.received() - before).toBeLessThan(24 * MEGABYTE);
    expect(idsOf(await collect(stream, 240))).toEqual(upTo(240));
    expect(proxy.received() - before).toBeGreaterThan(60 * MEGABYTE);
    stream.close();
  });

  async function collect(stream: BinlogStream, count: number): Promise<TransactionPart[]> {
    const parts: TransactionPart[] = [];
    while (idsOf(parts).length < count) parts.push(...(await stream.take()));
    return parts;
  }

  it('disconnects when nothing is taken for too long, and what was read is still returned', async () => {
    const position = await endOfLog(flavour, schema);
    const { stream, session } = await openWithSession({
      position,
      bufferBytes: 2 * MEGABYTE,
      heldBackMs: 300,
    });
    await insert(100, 256);
    await waitFor(async () => !(await dumpSessions()).includes(session), { what: 'the dump to end' });
    const { parts, error } = await untilEnd(stream);
    expect(error).toMatchObject({ code: 'ERR_SOURCE_UNREACHABLE', retryable: true });
    expect(error.message).toContain('took nothing');
    const { ids, position: next } = wholeOf(parts);
    expect(ids.length).toBeGreaterThan(0);
    expect(ids.length).toBeLessThan(50);
    const again = await open({ position: next! });
    expect([...ids, ...idsOf(await collect(again, 100 - ids.length))]).toEqual(upTo(100));
    again.close();
  });

  it('gives out nothing once it is closed, and wakes who waits', async () => {
    const stream = await open();
    const waiting = (async () => {
      for (;;) if ((await stream.take()).length === 0) return 'ended';
    })();
    stream.close();
    expect(await waiting).toBe('ended');
    const other = await open();
    const reached = proxy.received();
    await insert(3, 100);
    await waitFor(() => proxy.received() > reached + 300 * 1024, { what: 'the rows to arrive' });
    other.close();
    other.close();
    expect(await other.take()).toEqual([]);
    expect(await other.take()).toEqual([]);
  });

  it('ends for good when another reader comes with its identity', async () => {
    const identity = { serverId: 4_100_000_001, replicaUuid: randomUUID() };
    const stream = await open({ identity });
    await insert();
    await takeRows(stream, 1);
    const other = await open({ identity });
    await insert();
    const { error } = await untilEnd(stream);
    expect(error.message).toContain('Another reader connected');
    expect(error.remedy).toContain('store of its own');
    expect(error.retryable).toBe(false);
    expect(await takeRows(other, 1)).toHaveLength(1);
    other.close();
  });

  it('reads each row as of its own table when a server that starts anew gives the same table ids again', async () => {
    await schema.query(
      'DROP TABLE IF EXISTS tenant_a, tenant_b; CREATE TABLE tenant_a (id INT PRIMARY KEY, name VARCHAR(20)); CREATE TABLE tenant_b (amount BIGINT, id INT PRIMARY KEY)',
    );
    const position = await endOfLog(flavour, schema);
    const write = async (table: string, id: number, value: unknown): Promise<void> => {
      // Opened anew, a table has a new id. Each table's ids grow by steps that repeat: with periods of different lengths they meet.
      const period = table === 'tenant_a' ? 3 : 4;
      await schema.query(
        `FLUSH TABLES; ${id % period === 0 ? 'SELECT 1 FROM t LIMIT 0;' : ''} INSERT INTO ${table} SET id = ?, ${table === 'tenant_a' ? 'name' : 'amount'} = ?`,
        [id, value],
      );
    };
    const idsOfMaps = async (table: string): Promise<number[]> => {
      const { file } = await endOfLog(flavour, schema);
      const events = await schema.query(`SHOW BINLOG EVENTS IN '${file}'`);
      const named = new RegExp(`table_id: (\\d+) \\(${schema.name}\\.${table}\\)`);
      return events.flatMap(({ Info: info }) => named.exec(String(info))?.slice(1).map(Number) ?? []);
    };
    for (let id = 1; id <= 40; id += 1) await write('tenant_a', id, `a${id}`);
    const used = new Set(await idsOfMaps('tenant_a'));
    expect(used.size).toBe(40);
    await server.restart();
    await schema.reconnect();
    let count = 0;
    while (!(await idsOfMaps('tenant_b')).some((id) => used.has(id))) {
      count += 1;
      expect(count, 'rows until a table id comes again').toBeLessThan(500);
      await write('tenant_b', count, 1_000 + count);
    }
    const stream = await open({ position, watch: { tenant_a: ['id', 'name'], tenant_b: ['id', 'amount'] } });
    const rows = await takeRows(stream, 40 + count);
    stream.close();
    expect(rows.map((row) => [row.table.name, byName(row, 'after')])).toEqual([
      ...upTo(40).map((id) => ['tenant_a', { id, name: `a${id}` }]),
      ...upTo(count).map((id) => ['tenant_b', { id, amount: 1_000 + id }]),
    ]);
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)('continues after a server that ended by %s', async (signal) => {
    const position = await endOfLog(flavour, schema);
    const stream = await open({ position });
    await insert(5);
    const before = wholeOf(await collect(stream, 5));
    await server.kill(signal);
    const { parts, error } = await untilEnd(stream);
    expect(error.retryable).toBe(true);
    expect(idsOf(parts)).toEqual([]);
    await server.restart();
    await schema.reconnect();
    await insert(5);
    const again = await open({ position: wholeOf(parts).position ?? before.position! });
    expect([...before.ids, ...idsOf(await collect(again, 5))]).toEqual(upTo(10));
    again.close();
  });
});

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Connection } from 'mysql2/promise';
import { HaltError } from '../../src/binlog/halt.ts';
import type { BinlogStream } from '../../src/binlog/stream.ts';
import type { TransactionPart } from '../../src/binlog/types.ts';
import type { PrivateServer } from '../../src/demo/private-server.ts';
import { purgeLogs } from '../support/purge-logs.ts';
import { byName, endOfLog, openReader, takeUntil } from '../support/read-log.ts';
import type { TestSchema } from '../support/server.ts';
import { modes, startMode } from './modes.ts';

/** Rows of 100 KB, together more than what one part of a transaction holds. */
const manyRows = 60;

describe.each(modes)('XA transactions in the log of $name', (mode) => {
  const { flavour } = mode;
  let server: PrivateServer;
  let schema: TestSchema;
  let xids = 0;
  beforeAll(async () => {
    ({ server, schema } = await startMode(mode));
  });
  afterAll(async () => {
    await schema.drop();
    await server.stop();
  });
  let connection: Connection;
  let xid: string;
  beforeEach(async () => {
    await schema.query('DELETE FROM t');
    connection = await schema.connect();
    xid = `'rama-${(xids += 1)}','\\'única',7`;
  });
  afterEach(() => connection.end().catch(() => undefined));

  const open = (extra: object = {}): Promise<BinlogStream> =>
    openReader({ flavour, schema, watch: { t: ['id', 'text'] }, ...extra });

  /** Prepares an XA transaction on a connection that stays open. */
  async function prepare(...statements: string[]): Promise<void> {
    for (const each of [`XA START ${xid}`, ...statements, `XA END ${xid}`, `XA PREPARE ${xid}`])
      await connection.query(each);
  }
  const end = (statement: 'COMMIT' | 'ROLLBACK'): Promise<unknown> =>
    connection.query(`XA ${statement} ${xid}`);

  /** Writes the row that ends what a test reads, and gives the texts of all rows up to it. */
  async function textsUntilLast(stream: BinlogStream): Promise<unknown[]> {
    await schema.query("INSERT INTO t VALUES (1000000, 'last')");
    const parts = await takeUntil(stream, ({ rows }) =>
      rows.some((row) => byName(row, 'after')['id'] === 1_000_000),
    );
    stream.close();
    return textsOf(parts);
  }
  const textsOf = (parts: readonly TransactionPart[]): unknown[] =>
    parts.flatMap(({ rows }) => rows).map((row) => byName(row, 'after')['text']);

  it('gives the rows at the commit, as those of its transaction', async () => {
    const stream = await open();
    await prepare(
      "INSERT INTO t VALUES (1, 'prepared')",
      'SAVEPOINT a',
      "INSERT INTO t VALUES (2, 'undone')",
      'ROLLBACK TO a',
    );
    // Before the first row: a rolled-back INSERT leaves the gap behind it locked.
    await schema.query("INSERT INTO t VALUES (-1, 'between')");
    const before = await endOfLog(flavour, schema);
    await end('COMMIT');
    const after = await endOfLog(flavour, schema);
    await schema.query("INSERT INTO t VALUES (1000000, 'last')");
    const parts = await takeUntil(stream, ({ rows }) =>
      rows.some((row) => byName(row, 'after')['id'] === 1_000_000),
    );
    stream.close();
    expect(textsOf(parts)).toEqual(['between', 'prepared', 'last']);
    const committed = parts.find((part) => textsOf([part])[0] === 'prepared')!;
    expect(committed.commit!.position).toMatchObject({ file: after.file, offset: after.offset });
    expect(committed.id).toBe(mode.gtid ? lastGtid(after.gtid!) : `${before.file}:${before.offset}`);
  });

  it('gives nothing of what is rolled back, before or after it was prepared', async () => {
    const stream = await open();
    await prepare("INSERT INTO t VALUES (1, 'rolled back')");
    await end('ROLLBACK');
    for (const each of ['START', 'insert', 'END', 'ROLLBACK'])
      await connection.query(each === 'insert' ? "INSERT INTO t VALUES (2, 'never')" : `XA ${each} ${xid}`);
    expect(await textsUntilLast(stream)).toEqual(['last']);
  });

  it('gives rows that are committed in one phase', async () => {
    const stream = await open();
    await connection.query(`XA START ${xid}`);
    await connection.query("INSERT INTO t VALUES (1, 'one phase')");
    await connection.query(`XA END ${xid}`);
    await connection.query(`XA COMMIT ${xid} ONE PHASE`);
    expect(await textsUntilLast(stream)).toEqual(['one phase', 'last']);
  });

  it('tells several branches apart, and a later use of the same xid', async () => {
    const stream = await open();
    await prepare("INSERT INTO t VALUES (1, 'first')");
    const other = await schema.connect();
    await other.query(
      "XA START 'other'; INSERT INTO t VALUES (2, 'other'); XA END 'other'; XA PREPARE 'other'",
    );
    await end('COMMIT');
    await prepare("INSERT INTO t VALUES (3, 'second')");
    await end('COMMIT');
    await other.query("XA COMMIT 'other'");
    expect(await textsUntilLast(stream)).toEqual(['first', 'second', 'other', 'last']);
  });

  it('gives a transaction that outgrows memory in parts, in one phase and in two', async () => {
    const stream = await open();
    const rows = Array.from({ length: manyRows }, (_, i) => `(${i + 1}, REPEAT('x', 100000))`).join(', ');
    await prepare(`INSERT INTO t VALUES ${rows}`);
    await end('COMMIT');
    await connection.query(`XA START ${xid}`);
    await connection.query(`UPDATE t SET text = CONCAT(text, 'y')`);
    await connection.query(`XA END ${xid}`);
    await connection.query(`XA COMMIT ${xid} ONE PHASE`);
    await schema.query("INSERT INTO t VALUES (1000000, 'last')");
    const parts = await takeUntil(stream, ({ rows: each }) =>
      each.some((row) => byName(row, 'after')['id'] === 1_000_000),
    );
    stream.close();
    const ids = [...new Set(parts.filter(({ rows: each }) => each.length > 0).map(({ id }) => id))];
    expect(ids).toHaveLength(3);
    for (const [id, end] of [
      [ids[0], 'x'],
      [ids[1], 'y'],
    ]) {
      const own = parts.filter((part) => part.id === id);
      expect(own.length).toBeGreaterThan(1);
      expect(own.flatMap(({ rows: each }) => each).map((row) => byName(row, 'after')['id'])).toEqual(
        Array.from({ length: manyRows }, (_, i) => i + 1),
      );
      expect(textsOf(own).every((text) => String(text).endsWith(end!))).toBe(true);
      expect(own.slice(0, -1).every(({ commit }) => commit === null)).toBe(true);
      expect(own.map(({ firstOrdinal }) => firstOrdinal)).toEqual(
        own.map((_, i) => own.slice(0, i).reduce((sum, part) => sum + part.rows.length, 0)),
      );
    }
  });

  it('finds what was prepared before it began to read, in this file or an older one', async () => {
    const start = await endOfLog(flavour, schema);
    await prepare("INSERT INTO t VALUES (1, 'long ago')");
    const other = await schema.connect();
    await other.query(
      "XA START 'newer'; INSERT INTO t VALUES (2, 'newer'); XA END 'newer'; XA PREPARE 'newer'",
    );
    const position = await endOfLog(flavour, schema);
    await schema.query('FLUSH BINARY LOGS');
    await end('COMMIT');
    await other.query("XA COMMIT 'newer'");
    const [late, whole] = [await open({ position }), await open({ position: start })];
    expect(await textsUntilLast(late)).toEqual(['long ago', 'newer', 'last']);
    const parts = await takeUntil(whole, ({ rows }) =>
      rows.some((row) => byName(row, 'after')['id'] === 1_000_000),
    );
    whole.close();
    expect(textsOf(parts)).toEqual(['long ago', 'newer', 'last']);
  });

  it('gives what was prepared before the server was restarted, and not what was rolled back after it', async () => {
    const position = await endOfLog(flavour, schema);
    const stream = await open({ position });
    await prepare("INSERT INTO t VALUES (1, 'survives')");
    const other = await schema.connect();
    await other.query("XA START 'gone'; INSERT INTO t VALUES (2, 'gone'); XA END 'gone'; XA PREPARE 'gone'");
    stream.close();
    await server.restart();
    await schema.reconnect();
    await schema.query(`XA COMMIT ${xid}`);
    await schema.query("XA ROLLBACK 'gone'");
    expect(await textsUntilLast(await open({ position }))).toEqual(['survives', 'last']);
  });

  it('reads compressed ones', async () => {
    const stream = await open();
    const position = await endOfLog(flavour, schema);
    if (flavour === 'mysql') await connection.query('SET SESSION binlog_transaction_compression = ON');
    else await schema.query('SET GLOBAL log_bin_compress = ON');
    const compressed = flavour === 'mysql' ? connection : await schema.connect();
    const rows = "(1, REPEAT('a', 400)), (2, REPEAT('a', 400))";
    for (const each of [
      `XA START ${xid}`,
      `INSERT INTO t VALUES ${rows}`,
      `XA END ${xid}`,
      `XA PREPARE ${xid}`,
    ])
      await compressed.query(each);
    const late = await endOfLog(flavour, schema);
    await compressed.query(`XA COMMIT ${xid}`);
    if (flavour === 'mariadb') await schema.query('SET GLOBAL log_bin_compress = OFF');
    const events = await schema.query(`SHOW BINLOG EVENTS IN '${position.file}' FROM ${position.offset}`);
    expect(events.map((event) => String(event['Event_type'])).join()).toMatch(
      /Transaction_payload|compressed/,
    );
    const texts = ['a'.repeat(400), 'a'.repeat(400), 'last'];
    expect(await textsUntilLast(stream)).toEqual(texts);
    await schema.query('DELETE FROM t WHERE id = 1000000');
    const again = await open({ position: late });
    expect((await textsUntilLast(again)).slice(0, 2)).toEqual(texts.slice(0, 2));
  });

  it('halts at the commit of what was prepared in a purged part of the log, until its loss is accepted', async () => {
    await prepare("INSERT INTO t VALUES (1, 'purged')");
    await schema.query('FLUSH BINARY LOGS');
    const position = await endOfLog(flavour, schema);
    await purgeLogs((sql) => schema.query(sql));
    await end('COMMIT');
    const halt = await takeUntil(await open({ position }), () => false).catch((error: unknown) => error);
    expect(halt).toBeInstanceOf(HaltError);
    expect((halt as HaltError).halt).toMatchObject({ reason: 'xa-transaction', position });
    expect((halt as HaltError).remedy).toContain('resume --accept-gap');
    const waived = await open({ position, waived: [(halt as HaltError).halt.transactionId] });
    expect(await textsUntilLast(waived)).toEqual(['last']);
  });
});

/** The newest GTID of a set or position with one source. */
function lastGtid(gtid: string): string {
  const [, uuid, number] = /^(.*):(?:\d+-)?(\d+)$/.exec(gtid) ?? [];
  return uuid === undefined ? gtid : `${uuid}:${number}`;
}

import { systemClock } from '../../src/lib/clock.ts';
import { expect, it } from 'vitest';
import { LogClock } from '../../src/binlog/transaction/log-clock.ts';
import { eventType } from '../../src/binlog/protocol/event-type.ts';
import {
  FLAG_ARTIFICIAL,
  HEADER_BYTES,
  readLogEvent,
  type LogEvent,
} from '../../src/binlog/protocol/log-event.ts';
import { StatementPolicy } from '../../src/binlog/statement/statement-policy.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { LogCursor } from '../../src/binlog/transaction/log-cursor.ts';
import { TransactionAssembler } from '../../src/binlog/transaction/transaction-assembler.ts';
import type { Position, TransactionPart } from '../../src/binlog/types.ts';

const GIGABYTE = 2 ** 30;

interface Written {
  type: number;
  size: number;
  body?: Buffer;
  flags?: number;
  /** The log's own count of 32 bits, where it is another than where the event ends. */
  logPos?: number;
}

/** The events of a log as their headers come: only the sizes are those of a large file. */
function createLog(position: Position): {
  add(written: Written): void;
  rotate(file: string, offset?: number): void;
  transaction(rowBytes?: number[]): void;
  parts: TransactionPart[];
} {
  const parts: TransactionPart[] = [];
  let end = 0;
  const assembler = new TransactionAssembler({
    flavour: 'mysql',
    position,
    clock: new LogClock(systemClock),
    gtidSet: null,
    charsetOf: () => undefined,
    columnsOf: () => undefined,
    hintsOf: () => undefined,
    statements: new StatementPolicy({
      flavour: 'mysql',
      charsetOf: () => undefined,
      columnsOf: () => undefined,
      isWatchedSchema: () => false,
      watchedTables: () => [],
      url: parseDatabaseUrl('mysql://reader@127.0.0.1/unused'),
      scanLog: () => Promise.resolve(false),
    }),
    waived: new Set(),
    baseline: {},
    emit: (part) => parts.push(part),
    room: () => undefined,
  });
  function add({ type, size, body = Buffer.alloc(0), flags = 0, logPos }: Written): void {
    end += size;
    const buffer = Buffer.concat([Buffer.alloc(HEADER_BYTES), body]);
    const event: LogEvent = readLogEvent(buffer, 0, buffer.length);
    void assembler.handle({ ...event, type, size, flags, logPos: logPos ?? end % 2 ** 32 });
  }
  return {
    parts,
    add,
    rotate(file, offset = 4) {
      const body = Buffer.concat([Buffer.alloc(8), Buffer.from(file)]);
      body.writeBigUInt64LE(BigInt(offset));
      add({ type: eventType.rotate, size: 0, body, flags: FLAG_ARTIFICIAL, logPos: 0 });
      end = offset;
      add({ type: eventType.formatDescription, size: 122, ...(offset === 4 ? {} : { logPos: 0 }) });
      if (offset !== 4) end = offset;
    },
    transaction(rowBytes = []) {
      add({ type: eventType.anonymousGtid, size: 80, body: Buffer.alloc(42) });
      for (const size of rowBytes) add({ type: eventType.rowsQuery, size });
      add({ type: eventType.xid, size: 31, body: Buffer.alloc(8) });
    },
  };
}

function rotateTo(file: string): LogEvent {
  const buffer = Buffer.concat([Buffer.alloc(HEADER_BYTES + 8), Buffer.from(file)]);
  buffer.writeBigUInt64LE(4n, HEADER_BYTES);
  return readLogEvent(buffer, 0, buffer.length);
}

const begin: Position = { gtid: null, file: 'binlog.000001', offset: 4 };
const endsOf = (parts: readonly TransactionPart[]): string[] =>
  parts.map(({ commit }) => `${commit!.position.file}:${commit!.position.offset}`);

it('counts the bytes of a file past 4 GiB, where the log’s own count begins anew', () => {
  const log = createLog(begin);
  log.rotate('binlog.000001');
  log.transaction();
  log.transaction(Array<number>(9).fill(GIGABYTE));
  // Made up for the connection: it stands nowhere in the file.
  log.add({ type: eventType.heartbeat, size: 0, logPos: 4_711 });
  log.transaction();
  const first = 4 + 122 + 111;
  const second = first + 111 + 9 * GIGABYTE;
  expect(endsOf(log.parts)).toEqual([first, second, second + 111].map((at) => `binlog.000001:${at}`));
  expect(log.parts[2]!.id).toBe(`binlog.000001:${second}`);
});

it('counts what the log does not, within a transaction', () => {
  const log = createLog(begin);
  log.rotate('binlog.000001');
  log.add({ type: eventType.mariadbGtid, size: 42, body: Buffer.alloc(19) });
  for (let i = 0; i < 5; i += 1) log.add({ type: eventType.mariadbAnnotateRows, size: GIGABYTE, logPos: 0 });
  log.add({ type: eventType.xid, size: 31, body: Buffer.alloc(8) });
  expect(endsOf(log.parts)).toEqual([`binlog.000001:${4 + 122 + 42 + 5 * GIGABYTE + 31}`]);
});

it('counts in what a server left out', () => {
  const log = createLog(begin);
  log.rotate('binlog.000001');
  log.add({ type: eventType.anonymousGtid, size: 80, body: Buffer.alloc(42), logPos: 50_000 });
  log.add({ type: eventType.xid, size: 31, body: Buffer.alloc(8), logPos: 50_031 });
  expect(endsOf(log.parts)).toEqual(['binlog.000001:50031']);
});

it('continues beyond 4 GiB by passing over the file’s beginning, and reads the next file from its own', () => {
  const whole = createLog(begin);
  whole.rotate('binlog.000001');
  whole.transaction(Array<number>(5).fill(GIGABYTE));
  const { position } = whole.parts[0]!.commit!;
  const log = createLog(position);
  log.rotate('binlog.000001');
  log.transaction(Array<number>(5).fill(GIGABYTE));
  expect(log.parts).toEqual([]);
  log.transaction();
  log.rotate('binlog.000002');
  log.transaction();
  expect(endsOf(log.parts)).toEqual([`binlog.000001:${position.offset + 111}`, 'binlog.000002:237']);
});

it('takes the description of a file whose beginning it passes over: it says which version wrote the rest', () => {
  const cursor = new LogCursor({ ...begin, offset: 5 * GIGABYTE }, { byOffset: true });
  const event = (type: number): LogEvent => {
    const buffer = Buffer.alloc(HEADER_BYTES);
    buffer[4] = type;
    return readLogEvent(buffer, 0, buffer.length);
  };
  cursor.rotate(rotateTo('binlog.000001'));
  expect(cursor.skips(event(eventType.formatDescription))).toBe(false);
  expect(cursor.skips(event(eventType.xid))).toBe(true);
});

it('reads the next file from its beginning when nothing more stood in one of more than 4 GiB', () => {
  const log = createLog({ ...begin, offset: 5 * GIGABYTE });
  log.rotate('binlog.000001');
  log.rotate('binlog.000002');
  log.transaction();
  expect(endsOf(log.parts)).toEqual(['binlog.000002:237']);
});

it('continues in the middle of a file without counting the format description that is sent again', () => {
  const log = createLog({ ...begin, offset: 1_000 });
  log.rotate('binlog.000001', 1_000);
  log.transaction();
  expect(endsOf(log.parts)).toEqual(['binlog.000001:1111']);
  expect(log.parts[0]!.id).toBe('binlog.000001:1000');
});

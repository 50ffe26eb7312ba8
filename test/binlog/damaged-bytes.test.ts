import { deflateSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ByteReader } from '../../src/binlog/protocol/byte-reader.ts';
import { decodeJson } from '../../src/binlog/decode/decode-json.ts';
import { eventType } from '../../src/binlog/protocol/event-type.ts';
import { inflateColumn, inflateEnvelope } from '../../src/binlog/protocol/inflate.ts';
import { HEADER_BYTES, readLogEvent, type LogEvent } from '../../src/binlog/protocol/log-event.ts';
import { readPayload } from '../../src/binlog/protocol/read-payload.ts';
import { readRows } from '../../src/binlog/decode/read-rows.ts';
import { readTableMap, type MappedTable, type TableMapContext } from '../../src/binlog/decode/table-map.ts';
import type { Flavour } from '../../src/binlog/types.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

function eventOf(text: string, checksumBytes = 4): LogEvent {
  const bytes = hex(text);
  return readLogEvent(bytes, 0, bytes.length - checksumBytes);
}

function tableOf(map: LogEvent, flavour: Flavour): MappedTable {
  const wanted = new Set(['id', 'a', 'v']);
  const reader = new ByteReader(map.buffer, map.bodyStart + 8, map.bodyEnd);
  const context: TableMapContext = {
    flavour,
    charsetOf: () => undefined,
    columnsOf: () => wanted,
    hintsOf: () => ({ types: new Map(), fractions: new Map(), plainColumns: new Set(['id']) }),
  };
  return readTableMap(reader, context, undefined)!;
}

describe('a row without a byte: INSERT INTO t () VALUES () with binlog_row_image=MINIMAL', () => {
  const mysqlMap =
    '0b6c096b13010000003a000000da04000000006a000000000001000164000174000203030002010100040502696401610801000c01c00885a65a';

  it.each([
    [
      'MySQL 9.7.4',
      'mysql',
      mysqlMap,
      '0b6c096b1e0100000023000000fd04000000006a00000000001100020002003104bda7',
    ],
    [
      'MariaDB 10.11.18',
      'mariadb',
      '0c6e096b1303000000450000006d9f000000001300000000000100096f646f6e746f5f64620007616a7573746573000203030002010100040502696401760801001a311fec',
      '0c6e096b1703000000210000008e9f0000000013000000000001000200972b8934',
    ],
  ] as const)('is one insert whose columns are absent: %s', (_server, flavour, map, rows) => {
    const found = readRows(eventOf(rows), 'insert', tableOf(eventOf(map), flavour));
    expect(found.map(({ op, before, after }) => ({ op, before, after }))).toEqual([
      { op: 'insert', before: null, after: [undefined, undefined] },
    ]);
  });

  it('is refused where bytes follow it', () => {
    const rows = eventOf('0b6c096b1e0100000023000000fd04000000006a000000000011000200020000', 0);
    expect(() => readRows(rows, 'insert', tableOf(eventOf(mysqlMap), 'mysql'))).toThrow(RangeError);
  });

  it('is refused where the image has columns', () => {
    const rows = eventOf('0b6c096b1e0100000023000000fd04000000006a0000000000110002000203', 0);
    expect(() => readRows(rows, 'insert', tableOf(eventOf(mysqlMap), 'mysql'))).toThrow(RangeError);
  });
});

describe('binary JSON that no server writes', () => {
  it.each([
    ['an unknown literal', '0403'],
    ['an unknown literal in an array', '02 0100 0700 040700'],
    ['an unknown literal in an object', '00 0100 0e00 0b00 0100 041200 610162'],
    ['a key that ends outside of the object', '00 0100 0c00 0b00 c800 050200 61'],
    ['an object that is longer than the column', '00 0000 0a00'],
    ['a DECIMAL whose scale exceeds its precision', '0f f6 08 03 0a 87 5b cd 15 04 d2'],
    ['a DECIMAL that is too short', '0f f6 03 0a 02 80'],
    ['a time of two bytes', '0f 0b 02 0000'],
    ['a string that is not UTF-8', '0c 02 c328'],
    ['a string that ends early', '0c 05 6162'],
    ['a size without an end', '0c ffffffffffff'],
    ['a number that is not finite', '0b 000000000000f07f'],
    ['an unknown type', '0d 00'],
    ['an integer that ends early', '09 0000'],
    ['a value before its container', '02 0100 0900 0c0100 0000'],
    ['a value outside of its container', '02 0100 0700 0c0700 0161'],
    ['more entries than bytes', '02 ffff 0400'],
  ])('is refused: %s', (_what, bytes) => {
    expect(() => decodeJson(hex(bytes))).toThrow(RangeError);
  });

  /** Arrays of 30 entries, all of which point at the next array. */
  function sharing(levels: number): Buffer {
    const levelBytes = 4 + 30 * 3;
    const parts = Array.from({ length: levels }, (_, level) => {
      const array = Buffer.alloc(levelBytes);
      array.writeUInt16LE(30, 0);
      array.writeUInt16LE(levelBytes * (levels - level), 2);
      for (let i = 0; i < 30; i += 1) {
        array[4 + i * 3] = level === levels - 1 ? 0x04 : 0x02;
        array.writeUInt16LE(level === levels - 1 ? 1 : levelBytes, 5 + i * 3);
      }
      return array;
    });
    return Buffer.concat([Buffer.of(0x02), ...parts]);
  }

  it('is refused before it grows: 475 bytes would be 75 million characters', () => {
    const bytes = sharing(5);
    expect(bytes).toHaveLength(471);
    expect(decodeJson(sharing(1))).toHaveLength(151);
    expect(() => decodeJson(bytes)).toThrow('share their bytes');
    expect(() => decodeJson(sharing(40))).toThrow(RangeError);
  });

  it('is refused where it is nested more deeply than a server allows', () => {
    const nested = (depth: number): Buffer => {
      let inner = hex('0000 0400');
      for (let i = 1; i < depth; i += 1) {
        const head = hex('0100 0000 02 0700');
        head.writeUInt16LE(7 + inner.length, 2);
        inner = Buffer.concat([head, inner]);
      }
      return Buffer.concat([Buffer.of(0x02), inner]);
    };
    expect(decodeJson(nested(100))).toBe('['.repeat(100) + ']'.repeat(100));
    expect(() => decodeJson(nested(101))).toThrow('nested too deeply');
  });
});

describe('a transaction payload', () => {
  const event = (type: number, bytes: number): Buffer => {
    const buffer = Buffer.alloc(HEADER_BYTES + bytes, 0x61);
    buffer[4] = type;
    buffer.writeUInt32LE(buffer.length, 9);
    return buffer;
  };
  const inside = [event(eventType.query, 30), event(eventType.tableMap, 40), event(eventType.xid, 8)];
  const plain = Buffer.concat(inside);
  const MEGABYTES = 9 * 1024 * 1024;
  const large = Buffer.concat([event(eventType.query, MEGABYTES), ...inside]);

  function payload(bytes: Buffer, { type = 0, unpacked = plain.length, size = bytes.length } = {}): LogEvent {
    const field = (kind: number, value: number): Buffer => {
      const encoded = Buffer.alloc(9, 0xfe);
      encoded.writeBigUInt64LE(BigInt(value), 1);
      return Buffer.concat([Buffer.of(kind, 9), encoded]);
    };
    const body = Buffer.concat([field(2, type), field(3, unpacked), field(1, size), Buffer.of(0), bytes]);
    const buffer = Buffer.concat([Buffer.alloc(HEADER_BYTES), body]);
    return readLogEvent(buffer, 0, buffer.length);
  }

  async function typesIn(outer: LogEvent): Promise<number[]> {
    const types: number[] = [];
    for await (const each of readPayload(outer)) types.push(each.type);
    return types;
  }

  const types = [eventType.query, eventType.tableMap, eventType.xid];
  const halves = (bytes: Buffer): Buffer =>
    Buffer.concat([zstdCompressSync(bytes.subarray(0, 50)), zstdCompressSync(bytes.subarray(50))]);

  it.each([
    ['in one frame', payload(zstdCompressSync(plain)), types],
    ['in several frames', payload(halves(plain)), types],
    ['not compressed', payload(plain, { type: 255 }), types],
    ['large', payload(zstdCompressSync(large), { unpacked: large.length }), [eventType.query, ...types]],
    [
      'large, in several frames',
      payload(halves(large), { unpacked: large.length }),
      [eventType.query, ...types],
    ],
    ['empty', payload(Buffer.alloc(0), { unpacked: 0 }), []],
  ])('is read whole: %s', async (_what, outer, expected) => {
    expect(await typesIn(outer)).toEqual(expected);
  });

  const damaged: readonly (readonly [what: string, outer: LogEvent])[] = [
    ['longer than it says', payload(zstdCompressSync(plain), { unpacked: plain.length - 1 })],
    ['shorter than it says', payload(zstdCompressSync(plain), { unpacked: plain.length + 1 })],
    ['longer than it says, not compressed', payload(plain, { type: 255, unpacked: plain.length - 1 })],
    ['much longer than it says', payload(zstdCompressSync(Buffer.alloc(50e6)), { unpacked: 100 })],
    ['large and shorter than it says', payload(zstdCompressSync(large), { unpacked: large.length + 1 })],
    ['large and longer than it says', payload(zstdCompressSync(large), { unpacked: large.length - 1 })],
    ['of another size than it says', payload(zstdCompressSync(plain), { size: 10 })],
    ['of an unknown compression', payload(plain, { type: 7 })],
    ['with bytes after its frame', payload(Buffer.concat([zstdCompressSync(plain), Buffer.from('junk')]))],
    ['cut off', payload(zstdCompressSync(plain).subarray(0, 40))],
    ['ending in mid-event', payload(plain.subarray(0, -3), { type: 255, unpacked: plain.length - 3 })],
    ['with an event without a size', payload(Buffer.alloc(60), { type: 255, unpacked: 60 })],
    ...[eventType.rotate, eventType.gtid, eventType.formatDescription, eventType.transactionPayload].map(
      (type) =>
        [
          `with an event of type ${type}`,
          payload(event(type, 50), { type: 255, unpacked: HEADER_BYTES + 50 }),
        ] as const,
    ),
  ];
  it.each(damaged)('is refused: %s', async (_what, outer) => {
    await expect(async () => typesIn(outer)).rejects.toThrow(Error);
  });
});

describe('what MariaDB compressed', () => {
  const text = Buffer.from('historia clínica '.repeat(50));
  const deflated = deflateSync(text);
  const length = (bytes: number): Buffer => Buffer.of(bytes >> 8, bytes & 0xff);
  const envelope = (bytes: number, body = deflated): Buffer =>
    Buffer.concat([Buffer.of(0x82), length(bytes), body]);
  const column = (bytes: number, body = deflated): Buffer =>
    Buffer.concat([Buffer.of(0x82), length(bytes), body]);

  it('is unpacked', () => {
    expect(inflateEnvelope(envelope(text.length))).toEqual(text);
    expect(inflateColumn(column(text.length))).toEqual(text);
  });

  it.each([
    ['shorter than it says', () => inflateEnvelope(envelope(text.length + 1))],
    ['longer than it says', () => inflateEnvelope(envelope(text.length - 1))],
    ['much longer than it says', () => inflateEnvelope(envelope(10, deflateSync(Buffer.alloc(50e6))))],
    ['of an unknown method', () => inflateEnvelope(hex('9000'))],
    ['without a length', () => inflateEnvelope(hex('80'))],
    ['cut off', () => inflateEnvelope(envelope(text.length).subarray(0, 20))],
    ['nothing', () => inflateEnvelope(Buffer.alloc(0))],
    ['a column that is shorter than it says', () => inflateColumn(column(text.length + 1))],
    ['a column that is longer than it says', () => inflateColumn(column(text.length - 1))],
    ['a column of an unknown method', () => inflateColumn(hex('9000'))],
    ['a column without a length', () => inflateColumn(hex('80'))],
    ['a column that is cut off', () => inflateColumn(column(text.length).subarray(0, 20))],
  ])('is refused: %s', (_what, inflate) => {
    expect(inflate).toThrow(Error);
  });
});

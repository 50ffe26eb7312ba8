import { describe, expect, it } from 'vitest';
import { countGtids, encodeGtidSet, formatGtidSet, parseGtidSet } from '../../src/binlog/gtid/gtid-set.ts';
import { createGtidTracker, parseMariadbGtids } from '../../src/binlog/gtid/gtid.ts';
import { readTransactionStart } from '../../src/binlog/gtid/read-gtid.ts';
import { eventType } from '../../src/binlog/protocol/event-type.ts';
import { HEADER_BYTES, readLogEvent } from '../../src/binlog/protocol/log-event.ts';

const a = 'aaaaaaaa-0000-0000-0000-000000000001';
const b = 'bbbbbbbb-0000-0000-0000-000000000002';

function normalised(text: string): string {
  return formatGtidSet(parseGtidSet(text));
}

describe('a GTID set', () => {
  it.each([
    ['', ''],
    [`${a}:1`, `${a}:1`],
    [`${b}:1-3,\n${a}:5:1-3`, `${a}:1-3:5,${b}:1-3`],
    [`${a}:1-3:4-6:5-9`, `${a}:1-9`],
    [`${a.toUpperCase()}:7`, `${a}:7`],
    [`${a.replaceAll('-', '')}:7`, `${a}:7`],
    [`${a}:1-5:nightly:1-3:backup:4,${b}:zz:1`, `${a}:1-5:backup:4:nightly:1-3,${b}:zz:1`],
    [`${a}:9223372036854775806`, `${a}:9223372036854775806`],
    [`${a}:5-3`, ''],
  ])('reads %j', (text, expected) => {
    expect(normalised(text)).toBe(expected);
  });

  it.each(['x', `${a}:0`, `${a}:1-`, `${a}:Has Space-`, '0-1-5', `${a}:1-5:9tag:1`])('refuses %j', (text) => {
    expect(() => parseGtidSet(text)).toThrow(/is not a GTID set/);
  });

  it('counts past 2^53', () => {
    expect(countGtids(parseGtidSet(`${a}:1-9007199254740993:tag:1-2,${b}:5`))).toBe(9007199254740996n);
  });

  it('is encoded with the ends of its intervals excluded', () => {
    expect(encodeGtidSet(parseGtidSet(`${a}:1-5:9`)).toString('hex')).toBe(
      '0100000000000000' +
        'aaaaaaaa000000000000000000000001' +
        '0200000000000000' +
        '01000000000000000600000000000000' +
        '09000000000000000a00000000000000',
    );
  });

  it('is encoded in the tagged format when a source has a tag', () => {
    expect(encodeGtidSet(parseGtidSet(`${a}:1:ab:2-3`)).toString('hex')).toBe(
      '0102000000000001' +
        'aaaaaaaa000000000000000000000001' +
        '00' +
        '0100000000000000' +
        '01000000000000000200000000000000' +
        'aaaaaaaa000000000000000000000001' +
        '046162' +
        '0100000000000000' +
        '02000000000000000400000000000000',
    );
  });
});

describe('a tracker of MySQL GTIDs', () => {
  it.each([
    ['from nothing', '', [`${a}:1`, `${a}:2`, `${a}:3`], `${a}:1-3`],
    ['continues', `${a}:1-5`, [`${a}:6`, `${a}:7`], `${a}:1-7`],
    ['with another source between', `${a}:1-5`, [`${a}:6`, `${b}:1`, `${a}:7`], `${a}:1-7,${b}:1`],
    ['closes a gap', `${a}:1-2:5-6`, [`${a}:3`, `${a}:4`, `${a}:7`], `${a}:1-7`],
    ['out of order, as a parallel replica commits', `${a}:1`, [`${a}:4`, `${a}:3`, `${a}:2`], `${a}:1-4`],
    ['already there', `${a}:1-5`, [`${a}:3`, `${a}:5`, `${a}:6`], `${a}:1-6`],
    ['tagged', `${a}:1-5`, [`${a}:tag:1`, `${a}:tag:2`, `${a}:6`], `${a}:1-6:tag:1-2`],
  ])('%s', (_name, start, added, expected) => {
    const tracker = createGtidTracker('mysql', start);
    for (const gtid of added) {
      tracker.add(gtid);
      expect(normalised(tracker.toString())).toBe(tracker.toString());
    }
    expect(tracker.toString()).toBe(expected);
  });

  it('agrees with a set of the same GTIDs in any order', () => {
    const all = [a, b].flatMap((uuid) => Array.from({ length: 60 }, (_, i) => `${uuid}:${i + 1}`));
    // A fixed shuffle: 37 is coprime to 120.
    const shuffled = all.map((_, i) => all[(i * 37) % all.length]!);
    const tracker = createGtidTracker('mysql', '');
    shuffled.forEach((gtid, i) => {
      tracker.add(gtid);
      expect(tracker.toString()).toBe(normalised(shuffled.slice(0, i + 1).join(',')));
    });
    expect(tracker.toString()).toBe(`${a}:1-60,${b}:1-60`);
  });
});

describe('a tracker of MariaDB GTIDs', () => {
  it('keeps the last of each domain', () => {
    const tracker = createGtidTracker('mariadb', '0-1-5,7-2-9');
    tracker.add('0-1-6');
    tracker.add('0-3-18446744073709551615');
    tracker.add('12-1-1');
    expect(tracker.toString()).toBe('0-3-18446744073709551615,7-2-9,12-1-1');
  });

  it('reads 64-bit sequences exactly and refuses what is none', () => {
    expect(parseMariadbGtids(' 0-1-18446744073709551615 ,3-4294967295-1')).toEqual([
      { domain: 0, server: 1, sequence: 18446744073709551615n },
      { domain: 3, server: 4294967295, sequence: 1n },
    ]);
    expect(parseMariadbGtids('')).toEqual([]);
    expect(() => parseMariadbGtids(`${a}:1`)).toThrow(/is not a MariaDB GTID/);
  });
});

describe('the event that begins a transaction', () => {
  const uuid = Buffer.from(a.replaceAll('-', ''), 'hex');

  function read(type: number, ...body: Uint8Array[]): ReturnType<typeof readTransactionStart> {
    const buffer = Buffer.concat([Buffer.alloc(HEADER_BYTES), ...body]);
    buffer[4] = type;
    return readTransactionStart(readLogEvent(buffer, 0, buffer.length));
  }

  /** MySQL's variable-length integer: one bits in the first byte count the bytes that follow. */
  function varint(value: bigint): Buffer {
    const bytes = Buffer.alloc(9);
    let extra = 0;
    while (extra < 8 && value >= 1n << BigInt(7 * (extra + 1))) extra += 1;
    if (extra === 8) bytes.fill(0xff, 0, 1).writeBigUInt64LE(value, 1);
    else bytes.writeBigUInt64LE((value << BigInt(extra + 1)) | ((1n << BigInt(extra)) - 1n));
    return bytes.subarray(0, extra + 1);
  }

  function readTagged(...fields: Uint8Array[]): ReturnType<typeof readTransactionStart> {
    const rest = Buffer.concat([varint(0n), ...fields]);
    // The size counts its own byte and the version's.
    return read(eventType.gtidTagged, varint(1n), varint(BigInt(rest.length + 2)), rest);
  }

  const uuidField = [varint(1n), ...[...uuid].map((byte) => varint(BigInt(byte)))];
  const numberField = (number: bigint): Buffer[] => [varint(2n), varint(number * 2n)];
  const tagField = (tag: string): Buffer[] => [varint(3n), varint(BigInt(tag.length)), Buffer.from(tag)];

  it.each([1n, 63n, 64n, 300n, 2n ** 31n, 2n ** 47n + 12_345n, 2n ** 55n, 2n ** 62n])(
    'has a tagged GTID of number %s',
    (number) => {
      expect(readTagged(...uuidField, ...numberField(number), ...tagField('nightly')).gtid).toBe(
        `${a}:nightly:${number}`,
      );
    },
  );

  it('has a GTID without a tag in the tagged form', () => {
    expect(readTagged(...uuidField, ...numberField(7n), ...tagField('')).gtid).toBe(`${a}:7`);
  });

  it.each([
    ['uuid', numberField(7n)],
    ['number', uuidField],
  ])('is refused in the tagged form without its %s', (_name, fields) => {
    expect(() => readTagged(...fields)).toThrow(/without uuid or number/);
  });

  it('has the commit times of the server and of the original source', () => {
    const fields = [...uuidField, ...numberField(7n), varint(4n), varint(2n), varint(5n), varint(3n)];
    const immediate = [varint(6n), varint(1_764_316_800_000_002n)];
    expect(readTagged(...fields, ...immediate)).toMatchObject({
      immediateMicros: 1_764_316_800_000_002n,
      originalMicros: 1_764_316_800_000_002n,
    });
    expect(readTagged(...fields, ...immediate, varint(7n), varint(1_764_316_800_000_001n))).toMatchObject({
      immediateMicros: 1_764_316_800_000_002n,
      originalMicros: 1_764_316_800_000_001n,
    });
  });

  it('has its commit time where that is the last field', () => {
    const number = Buffer.from('0700000000000000', 'hex');
    const micros = Buffer.alloc(8);
    micros.writeBigUInt64LE(1_764_316_800_000_002n);
    const start = read(
      eventType.gtid,
      Buffer.alloc(1),
      uuid,
      number,
      Buffer.alloc(17),
      micros.subarray(0, 7),
    );
    expect(start).toMatchObject({ gtid: `${a}:7`, immediateMicros: 1_764_316_800_000_002n });
  });
});

import { describe, expect, test } from 'vitest';
import type { Cell, ColumnKind } from '../../src/binlog/types.ts';
import { createClinicZone } from '../../src/change/clinic-zone.ts';
import { jsonText } from '../../src/change/values.ts';

const zone = createClinicZone('America/Santo_Domingo');
/** What the payload has for a cell, as text. */
const payload = (kind: ColumnKind, cell: Cell): string => jsonText(kind, zone)(cell);

describe('a cell in a payload', () => {
  const cases: [ColumnKind, Cell, string][] = [
    ['integer', 0, '0'],
    ['integer', -7, '-7'],
    ['integer', 9007199254740991, '9007199254740991'],
    ['integer', '9007199254740991', '9007199254740991'],
    ['integer', '9007199254740992', '"9007199254740992"'],
    ['integer', '18446744073709551615', '"18446744073709551615"'],
    ['integer', '-9223372036854775808', '"-9223372036854775808"'],
    ['decimal', '500.00', '500.00'],
    ['decimal', '-0.10', '-0.10'],
    ['decimal', '0.00', '0.00'],
    ['decimal', '00042.50', '42.50'],
    ['decimal', '-00.50', '-0.50'],
    [
      'decimal',
      '99999999999999999999999999999999999.999999999999999999999999999999',
      '99999999999999999999999999999999999.999999999999999999999999999999',
    ],
    ['float', 0.1, '0.1'],
    ['float', 1e300, '1e+300'],
    ['float', Infinity, 'null'],
    ['float', -Infinity, 'null'],
    ['float', NaN, 'null'],
    ['bit', 1, '1'],
    ['bit', 0, '0'],
    ['bit', '18446744073709551615', '"18446744073709551615"'],
    ['year', 2026, '2026'],
    ['year', 0, '0'],
    ['date', '2026-03-07', '"2026-03-07"'],
    ['date', '0000-00-00', 'null'],
    ['date', '2026-00-00', 'null'],
    ['date', '2026-03-00', 'null'],
    ['date', '0001-01-01', '"0001-01-01"'],
    ['time', '15:30:00', '"15:30:00"'],
    ['time', '15:30:00.250', '"15:30:00.250"'],
    ['time', '-838:59:59', '"-838:59:59"'],
    ['timestamp', '2026-03-07 15:30:00', '"2026-03-07T15:30:00.000Z"'],
    ['timestamp', '2026-03-07 15:30:00.5', '"2026-03-07T15:30:00.500Z"'],
    ['timestamp', '2026-03-07 15:30:00.123456', '"2026-03-07T15:30:00.123456Z"'],
    ['timestamp', '0000-00-00 00:00:00', 'null'],
    ['timestamp', '2105-12-31 00:00:00', '"2105-12-31T00:00:00.000Z"'],
    ['datetime', '2026-03-07 15:30:00', '"2026-03-07T15:30:00.000-04:00"'],
    ['datetime', '2026-03-07 15:30:00.123', '"2026-03-07T15:30:00.123-04:00"'],
    ['datetime', '0000-00-00 00:00:00', 'null'],
    ['datetime', '2026-03-00 10:00:00', 'null'],
    ['text', 'María «ñ» 🦷 "x"', '"María «ñ» 🦷 \\"x\\""'],
    ['text', '', '""'],
    ['enum', 'confirmed', '"confirmed"'],
    ['enum', '', '""'],
    ['set', 'a,b', '"a,b"'],
    ['uuid', 'f47ac10b-58cc-4372-a567-0e02b2c3d479', '"f47ac10b-58cc-4372-a567-0e02b2c3d479"'],
    ['inet', '2001:db8::1', '"2001:db8::1"'],
    ['binary', Uint8Array.of(0, 255, 16), '"AP8Q"'],
    ['geometry', Uint8Array.of(1), '"AQ=="'],
    ['text', Uint8Array.of(0xff), '"/w=="'],
    ['json', '{"b": 1, "a": [true, null, "x"]}', '{"b":1,"a":[true,null,"x"]}'],
    [
      'json',
      '{"n": 12345678901234567890, "d": 0.10, "e": 1.0}',
      '{"n":12345678901234567890,"d":0.10,"e":1.0}',
    ],
    ['json', '{"__proto__": 1}', '{"__proto__":1}'],
    ['json', 'null', 'null'],
    ['json', 'no json', '"no json"'],
  ];
  test.each(cases)('%s %s is %s', (kind, cell, expected) => {
    expect(payload(kind, cell)).toBe(expected);
  });

  const kinds: ColumnKind[] = [
    'integer',
    'decimal',
    'float',
    'bit',
    'year',
    'date',
    'time',
    'datetime',
    'timestamp',
    'text',
    'binary',
    'enum',
    'set',
    'json',
    'geometry',
    'uuid',
    'inet',
  ];
  test.each(kinds)('NULL and absent %s are null', (kind) => {
    expect(payload(kind, null)).toBe('null');
    expect(payload(kind, undefined)).toBe('null');
  });

  test('bytes are read from their own window of the buffer', () => {
    expect(payload('binary', new Uint8Array(Uint8Array.of(9, 9, 1, 2, 9).buffer, 2, 2))).toBe('"AQI="');
  });
});

describe('local times', () => {
  // Transitions: New York springs forward 2026-03-08 02:00 -05:00 and falls back 2026-11-01 02:00 -04:00; Lord Howe
  // moves by half an hour; Santo Domingo kept -04:30 in winter until 1974; Apia skipped the whole of 2011-12-30.
  const cases: [string, string, string][] = [
    ['America/New_York', '2026-03-07 12:00:00', '-05:00'],
    ['America/New_York', '2026-03-08 01:59:59', '-05:00'],
    ['America/New_York', '2026-03-08 02:30:00', '-05:00'],
    ['America/New_York', '2026-03-08 03:00:00', '-04:00'],
    ['America/New_York', '2026-03-09 12:00:00', '-04:00'],
    ['America/New_York', '2026-11-01 00:59:59', '-04:00'],
    ['America/New_York', '2026-11-01 01:30:00', '-04:00'],
    ['America/New_York', '2026-11-01 02:00:00', '-05:00'],
    ['Europe/Madrid', '2026-03-29 01:59:59', '+01:00'],
    ['Europe/Madrid', '2026-03-29 03:00:00', '+02:00'],
    ['Europe/Madrid', '2026-10-25 02:30:00', '+02:00'],
    ['Europe/Madrid', '2026-10-25 03:00:00', '+01:00'],
    ['Australia/Lord_Howe', '2026-04-05 01:45:00', '+11:00'],
    ['Australia/Lord_Howe', '2026-04-05 02:00:00', '+10:30'],
    ['Pacific/Apia', '2011-12-29 23:59:59', '-10:00'],
    ['Pacific/Apia', '2011-12-31 00:00:00', '+14:00'],
    ['Asia/Kolkata', '2026-01-01 00:00:00', '+05:30'],
    ['UTC', '2026-01-01 00:00:00', '+00:00'],
    ['-04:00', '2026-01-01 00:00:00', '-04:00'],
    ['America/Santo_Domingo', '1900-01-01 00:00:00', '-04:40'],
    ['America/Santo_Domingo', '9999-12-31 23:59:59', '-04:00'],
  ];
  test.each(cases)('%s %s has offset %s', (name, local, offset) => {
    expect(createClinicZone(name).toIso(local)).toBe(`${local.replace(' ', 'T')}.000${offset}`);
  });

  test('the answer is the same the second time, on a day of change and on others', () => {
    const newYork = createClinicZone('America/New_York');
    const times = [
      '2026-03-08 01:00:00',
      '2026-03-08 04:00:00',
      '2026-07-01 04:00:00',
      '2026-12-01 04:00:00',
    ];
    expect(times.map((time) => newYork.toIso(time))).toEqual(times.map((time) => newYork.toIso(time)));
  });

  test('the clock agrees with the instants that Intl tells, every quarter of an hour of two years', () => {
    const newYork = createClinicZone('America/New_York');
    const format = new Intl.DateTimeFormat('sv-SE', {
      timeZone: 'America/New_York',
      dateStyle: 'short',
      timeStyle: 'medium',
    });
    const wrong: string[] = [];
    for (
      let ms = Date.parse('2026-01-01T00:00:00Z');
      ms < Date.parse('2028-01-01T00:00:00Z');
      ms += 900_000
    ) {
      const local = format.format(ms);
      const read = Date.parse(newYork.toIso(local));
      // The second pass through a repeated hour is read as the first: exactly one hour off.
      if (read !== ms && read !== ms - 3_600_000) wrong.push(local);
    }
    expect(wrong).toEqual([]);
  });

  test('a zone that does not exist is refused with an example', () => {
    expect(() => createClinicZone('America/Santo_Domnigo')).toThrow(
      expect.objectContaining({
        code: 'ERR_CONFIG',
        remedy: expect.stringContaining('America/Santo_Domingo'),
      }),
    );
  });
});

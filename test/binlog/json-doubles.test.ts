import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { byName, openReader, takeRows } from '../support/read-log.ts';
import { createSchema, sharedServer, type TestSchema } from '../support/server.ts';
import { createRandom } from './seeded-random.ts';

/** Where a spelling changes: the sign of zero, the ends of the range, and the borders between plain digits and an exponent. */
function edgeCases(): number[] {
  const powers = Array.from({ length: 617 }, (_, i) => Number(`1e${i - 308}`));
  const near = powers
    .slice(285, 335)
    .flatMap((power) => [power * 9.5, power * 1.25, power * 1.234567890123456, power * 0.9999999999999999]);
  const whole = [
    2 ** 52,
    2 ** 53 - 1,
    2 ** 53,
    2 ** 53 + 2,
    2 ** 63,
    2 ** 64,
    999999999999999,
    123456789012345678,
  ];
  const bounds = [
    0,
    Number.MIN_VALUE,
    2.2250738585072014e-308,
    2.225073858507201e-308,
    Number.MAX_VALUE,
    Number.EPSILON,
  ];
  const positive = [...powers, ...near, ...whole, ...bounds, 0.1, 0.1 + 0.2, 1 / 3, 100.5];
  return positive.flatMap((value) => [value, -value]);
}

/** Doubles of any bits, and such as people store: few digits, whole numbers, short fractions. */
function randomDoubles(count: number): number[] {
  const random = createRandom(20261127);
  const bytes = new DataView(new ArrayBuffer(8));
  return Array.from({ length: count }, (_, i) => {
    bytes.setUint32(0, random(2 ** 32));
    bytes.setUint32(4, random(2 ** 32));
    const anything = bytes.getFloat64(0);
    if (i % 3 === 0 && Number.isFinite(anything)) return anything;
    if (i % 3 === 1) return random(2 ** 32) * 2 ** (random(40) - 20);
    return Number(`${random(2) ? '-' : ''}${random(1e6)}.${random(1e9)}e${random(40) - 20}`);
  });
}

/** With an exponent: without one a whole number would be stored as an integer. */
const literal = (value: number): string => (Object.is(value, -0) ? '-0e0' : value.toExponential());

describe('a double in JSON', () => {
  const server = sharedServer('mysql');
  let schema: TestSchema;
  beforeAll(async () => {
    schema = await createSchema(server, 'CREATE TABLE j (id INT PRIMARY KEY, v JSON)');
  });
  afterAll(() => schema.drop());

  it('is spelled as MySQL spells it: 4,000 random ones, and every edge', async () => {
    const doubles = [...edgeCases(), ...randomDoubles(4_000)];
    const stream = await openReader({ flavour: 'mysql', schema, watch: { j: ['id', 'v'] } });
    for (let start = 0; start < doubles.length; start += 500) {
      const part = doubles.slice(start, start + 500);
      const rows = part.map((value, i) => `(${start + i}, '[${literal(value)}]')`);
      await schema.query(`INSERT INTO j VALUES ${rows.join(', ')}`);
    }
    const rows = await takeRows(stream, doubles.length);
    stream.close();
    const truth = await schema.query(
      "SELECT CAST(v AS CHAR) AS text, JSON_TYPE(JSON_EXTRACT(v, '$[0]')) AS type FROM j ORDER BY id",
    );
    expect(new Set(truth.map(({ type }) => type))).toEqual(new Set(['DOUBLE']));
    expect(rows.map((row) => byName(row, 'after')['v'])).toEqual(truth.map(({ text }) => text));
  });
});

import { expect, test } from 'vitest';
import { duration } from '../../src/config/setting/plain-scalars.ts';
import { numberPattern } from '../../src/config/setting/number-pattern.ts';
import { z } from 'zod';

test.each([
  [0, 0],
  [0, 9],
  [1, 10],
  [7, 123],
  [95, 105],
  [100, 199],
  [101, 3_599],
  [999, 1_000],
  [0, 7_776],
])('takes the whole numbers from %d to %d and no others', (least, most) => {
  const pattern = new RegExp(`^${numberPattern(least, most)}$`);
  for (let number = 0; number <= 11_000; number += 1)
    expect([number, pattern.test(String(number))]).toEqual([number, number >= least && number <= most]);
  expect(pattern.test(`0${least + 1}`)).toBe(false);
});

test.each([
  ['0s', '90d'],
  ['1s', '10m'],
  ['250ms', '1h'],
  ['1h', '6y'],
])('the schema of a duration from %s to %s takes none that is refused', (least, most) => {
  const schema = duration(least, most);
  const { pattern } = z.toJSONSchema(schema, { io: 'input' }) as { pattern?: string; anyOf?: unknown };
  const { anyOf } = z.toJSONSchema(schema, { io: 'input' }) as { anyOf?: { pattern: string }[] };
  const fits = new RegExp(pattern ?? anyOf![0]!.pattern);
  let both = 0;
  for (const unit of ['ms', 's', 'm', 'h', 'd', 'y']) {
    for (const number of [
      '0',
      '1',
      '2',
      '5',
      '10',
      '59',
      '60',
      '61',
      '90',
      '91',
      '249',
      '250',
      '1000',
      '999999',
    ]) {
      for (const fraction of ['', '.0', '.5', '.999']) {
        const text = number + fraction + unit;
        const isRead = schema.safeParse(text).success;
        if (fits.test(text)) expect([text, isRead]).toEqual([text, true]);
        // Whole numbers: exactly what is read.
        else if (fraction === '') expect([text, isRead]).toEqual([text, false]);
        if (isRead && fits.test(text)) both += 1;
      }
    }
  }
  expect(both).toBeGreaterThan(10);
});

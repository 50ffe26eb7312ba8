import { describe, expect, test } from 'vitest';
import { compileRules } from '../../src/event/mapping/compile.ts';
import { builtInRulesFile, readRules } from '../../src/event/rule/rule-file.ts';
import { checkSelection, findUnsent, matchesPattern, selectFields } from '../../src/event/subscription.ts';
import { matchesFilter } from '../../src/event/filter.ts';
import type { Filter } from '../../src/config/types.ts';
import { compileBuiltIn, ontology, statementsOn, timeZone, transact } from './clinic.ts';

describe('a pattern', () => {
  const cases: [string, string, boolean][] = [
    ['payment.received', 'payment.received', true],
    ['payment.received', 'payment.refunded', false],
    ['payment.*', 'payment.refunded', true],
    ['payment.*', 'payments.x', false],
    ['pay.*', 'payment.refunded', false],
    ['*', 'payment.received', true],
    ['medical_record.*', 'medical_record.created', true],
    ['*', 'webhook.disabled', false],
    ['*', 'audit.sealed', false],
    ['*', 'capture.gap', false],
    ['webhook.*', 'webhook.disabled', false],
    ['webhook.disabled', 'webhook.disabled', true],
    ['', 'payment.received', false],
    ['.*', 'payment.received', false],
  ];
  test.each(cases)('%s and %s: %s', (pattern, type, expected) => {
    expect(matchesPattern(pattern, type)).toBe(expected);
  });
});

const rules = compileRules(readRules(builtInRulesFile), {
  schema: ontology,
  timeZone,
  filterNames: ['branch_id', 'CREATED_AT', 'nada'],
});
const payment = {
  id: 5,
  patient_id: 45,
  amount: '500.00',
  payment_method: 'cash',
  status: 'completed',
  notes: null,
  processed_by: '9007199254740993',
  created_at: '2026-03-07 15:30:00',
};
const [event] = await transact(rules, [statementsOn(ontology, 'payments', rules).insert(payment)]);

describe('a filter', () => {
  const cases: [Filter, boolean][] = [
    [{}, true],
    [{ patient_id: [45] }, true],
    [{ patient_id: ['45'] }, true],
    [{ patient_id: [1, 45] }, true],
    [{ patient_id: [1, 2] }, false],
    [{ patient_id: [] }, false],
    [{ payment_method: [' CASH '] }, true],
    [{ payment_method: ['check'] }, false],
    [{ amount: [500] }, true],
    [{ amount: ['500.0'] }, true],
    [{ amount: [501] }, false],
    [{ notes: [''] }, false],
    [{ processed_by: ['9007199254740993'] }, true],
    [{ patient_id: [45], payment_method: ['check'] }, false],
    // Operators: all must hold.
    [{ amount: [5e2] }, true],
    [{ amount: ['5.00e+2'] }, true],
    [{ amount: ['50000e-2'] }, true],
    [{ amount: ['0.5e999'] }, false],
    [{ amount: { gt: '4.9999e2' } }, true],
    [{ amount: { gt: 499.99 } }, true],
    [{ amount: { gt: 500 } }, false],
    [{ amount: { gte: '500.000' } }, true],
    [{ amount: { lt: 500 } }, false],
    [{ amount: { lte: 500, gte: 500 } }, true],
    [{ amount: { gt: 100, lt: 200 } }, false],
    [{ amount: { gt: -1 } }, true],
    [{ amount: { gt: 'abc' } }, false],
    [{ amount: { prefix: '5' } }, false],
    [{ amount: { not: [500] } }, false],
    [{ amount: { not: [1, 2] } }, true],
    [{ payment_method: { not: ['CASH', 'check'] } }, false],
    [{ payment_method: { not: ['check'] } }, true],
    [{ payment_method: { prefix: ' CA' } }, true],
    [{ payment_method: { prefix: 'ash' } }, false],
    [{ payment_method: { gt: 'bat', lt: 'CAT' } }, true],
    [{ payment_method: { gt: 5 } }, false],
    // An integer beyond 2^53 is a text in data, and a number beside a number.
    [{ processed_by: { gt: '9007199254740992' } }, true],
    [{ processed_by: { gt: 9007199254740992 } }, true],
    [{ processed_by: { lt: 9007199254740994 } }, true],
    // Moments by time, whatever offset they are written with; a date is the beginning of its day.
    [{ created_at: { gt: '2026-03-07T11:29:59-04:00' } }, true],
    [{ created_at: { lt: '2026-03-07T11:30:00-04:00' } }, false],
    [{ created_at: { gte: '2026-03-07', lt: '2026-03-08' } }, true],
    [{ created_at: { lt: '2026-03-07' } }, false],
    // NULL meets only exists: false.
    [{ notes: { exists: false } }, true],
    [{ notes: { exists: true } }, false],
    [{ notes: { not: ['x'] } }, false],
    [{ notes: { gt: '' } }, false],
    [{ notes: { exists: false, not: ['x'] } }, false],
    [{ amount: { exists: true } }, true],
    [{ amount: { exists: false } }, false],
    [{ branch_id: { exists: false } }, true],
    [{ branch_id: { exists: true } }, false],
    [{ branch_id: { not: [1] } }, false],
    // Columns of the row that are not in the payload.
    [{ status: ['completed'] }, true],
    [{ status: ['refunded'] }, false],
    [{ created_at: ['2026-03-07T15:30:00.000Z'] }, true],
    // A value is the same moment however it is written.
    [{ created_at: ['2026-03-07T11:30:00-04:00'] }, true],
    [{ created_at: { not: ['2026-03-07T15:30:00Z'] } }, false],
    [{ created_at: { gt: '2026-03-07T15:29:59.999999Z', lt: '2026-03-07T15:30:00.000001Z' } }, true],
    // What the event does not have.
    [{ branch_id: [1] }, false],
    [{ toString: [''] }, false],
  ];
  test.each(cases)('%j: %s', (filter, expected) => {
    expect(matchesFilter(filter, event!)).toBe(expected);
  });

  test('sees true and false as 1 and 0, and no lists and objects', () => {
    const made = { data: { yes: true, one: 1, list: [1] }, column: () => undefined };
    expect(matchesFilter({ yes: [1] }, made)).toBe(true);
    expect(matchesFilter({ yes: [true] }, made)).toBe(true);
    expect(matchesFilter({ one: [true] }, made)).toBe(true);
    expect(matchesFilter({ one: [false] }, made)).toBe(false);
    expect(matchesFilter({ list: [1] }, made)).toBe(false);
  });

  test('has its columns read where the table of a rule has them, and nowhere else', () => {
    expect(rules.watch.get('appointments')).toContain('branch_id');
    expect(rules.watch.get('payments')).toContain('created_at');
    expect(rules.watch.get('payments')).not.toContain('branch_id');
    expect(rules.watch.get('services')).not.toContain('created_at');
    expect(compileBuiltIn().watch.get('payments')).not.toContain('created_at');
  });
});

describe('fields', () => {
  const body = (data: string) =>
    `{"event":"payment.received","timestamp":"2026-03-07T15:30:00.000Z","data":${data}}`;
  test.each([
    [['amount', 'payment_id'], body('{"payment_id":5,"amount":500.00}')],
    [['amount', 'nada'], body('{"amount":500.00}')],
    [[], body('{}')],
  ])('%j', (fields, expected) => {
    expect(selectFields(event!, fields)).toBe(expected);
  });

  test('all of them are the body of the event', () => {
    expect(selectFields(event!, Object.keys(event!.data))).toBe(event!.body);
  });
});

describe('a selection', () => {
  test.each([
    [{ events: ['payment.*'], fields: ['amount'], filter: { patient_id: [1] } }, []],
    [{ events: ['payment.*'], fields: ['refund_time'], filter: null }, []],
    [
      { events: ['payment.*'], fields: ['amuont'], filter: null },
      [{ key: 'fields', message: 'none of its events has "amuont", did you mean "amount"?' }],
    ],
    [{ events: ['payment.*'], fields: null, filter: { created_at: { gt: '2026-03-07' } } }, []],
    [
      { events: ['payment.*'], fields: null, filter: { branch_id: [1] } },
      [{ key: 'filter', message: expect.stringMatching(/^none of its events has "branch_id"/) }],
    ],
    [{ events: ['*'], fields: null, filter: { branch_id: [1] } }, []],
    [{ events: ['payment.*'], fields: null, filter: { amount: ['5.0', 6], patient_id: { not: [3] } } }, []],
    [
      { events: ['payment.*'], fields: null, filter: { amount: ['cash'] } },
      [{ key: 'filter', message: '"amount" is a number: it is never "cash"' }],
    ],
    [
      { events: ['payment.*'], fields: null, filter: { amount: { gt: '2026-01-01' } } },
      [{ key: 'filter', message: '"amount" is a number: it cannot be compared with "2026-01-01"' }],
    ],
    [
      { events: ['payment.*'], fields: null, filter: { AMOUNT: { prefix: '5' } } },
      [{ key: 'filter', message: '"AMOUNT" is a number: prefix compares texts; write gt, gte, lt or lte' }],
    ],
    [{ events: ['payment.*'], fields: null, filter: { notes: ['cash'], created_at: { gt: '2026' } } }, []],
    [{ events: ['webhook.disabled'], fields: ['x'], filter: null }, []],
  ])('%j', (selection, expected) => {
    expect(checkSelection(selection, rules)).toEqual(expected);
  });
});

describe('a filter that nothing can meet', () => {
  const judge = (filter: Filter, events = ['payment.received']) =>
    checkSelection({ events, filter, fields: null }, rules).map(({ message }) => message);
  const oneOf = '"payment_method" is one of cash, credit_card, debit_card, transfer, check: ';
  const isMoment = '"created_at" is a time such as 2026-03-07T15:30:00Z: ';
  const isWhole = '"payment_id" is a whole number: ';

  test.each<[Filter, string]>([
    [{ amount: { gt: 5, lt: 3 } }, '"amount" is a number: no value meets gt 5 and lt 3'],
    [{ amount: { gte: '5.00', lt: 5 } }, '"amount" is a number: no value meets gte "5.00" and lt 5'],
    [{ amount: { gt: '10', lte: '9' } }, '"amount" is a number: no value meets gt "10" and lte "9"'],
    [{ amount: [true] }, '"amount" is a number: it is never true'],
    [{ amount: { not: [false] } }, '"amount" is a number: it is never false'],
    [{ payment_id: ['0x10'] }, `${isWhole}it is never "0x10"`],
    [{ payment_id: [' '] }, `${isWhole}it is never " "`],
    [{ payment_id: ['Infinity'] }, `${isWhole}it is never "Infinity"`],
    [{ payment_id: [1.5] }, `${isWhole}it is never 1.5`],
    [{ payment_id: ['1.5'] }, `${isWhole}it is never "1.5"`],
    [{ payment_id: { gt: '0x10' } }, `${isWhole}it cannot be compared with "0x10"`],
    [{ payment_id: { gt: 3, lt: 4 } }, `${isWhole}no value meets gt 3 and lt 4`],
    [{ created_at: { gt: '2026-13-45' } }, `${isMoment}it cannot be compared with "2026-13-45"`],
    [{ created_at: { gt: '2026-02-30' } }, `${isMoment}it cannot be compared with "2026-02-30"`],
    [
      { created_at: { gt: '2026-02-30T10:00:00Z' } },
      `${isMoment}it cannot be compared with "2026-02-30T10:00:00Z"`,
    ],
    [
      { created_at: { gt: '2026-02-03T25:00:00Z' } },
      `${isMoment}it cannot be compared with "2026-02-03T25:00:00Z"`,
    ],
    [{ created_at: { gt: 'yesterday' } }, `${isMoment}it cannot be compared with "yesterday"`],
    [{ created_at: { gt: '2026-03-07 15:30' } }, `${isMoment}it cannot be compared with "2026-03-07 15:30"`],
    [{ created_at: { gt: 5 } }, `${isMoment}it cannot be compared with 5`],
    [{ created_at: { prefix: 'x' } }, `${isMoment}it cannot be compared with "x"`],
    [{ created_at: ['2026-03-07'] }, `${isMoment}it is never "2026-03-07"`],
    [{ created_at: [1] }, `${isMoment}it is never 1`],
    [{ payment_id: [true] }, '"payment_id" is a whole number: it is never true'],
    [{ payment_id: { not: [false] } }, '"payment_id" is a whole number: it is never false'],
    [
      { created_at: { gt: '2026-03-07', lt: '2026-03-01' } },
      `${isMoment}no value meets gt "2026-03-07" and lt "2026-03-01"`,
    ],
    [{ payment_method: ['cahs'] }, `${oneOf}it is never "cahs", did you mean "cash"?`],
    [{ payment_method: ['cash', 'cahs'] }, `${oneOf}it is never "cahs", did you mean "cash"?`],
    [{ payment_method: { not: ['cahs'] } }, `${oneOf}it is never "cahs", did you mean "cash"?`],
    [{ payment_method: { gt: 5 } }, `${oneOf}it cannot be compared with 5`],
    [{ payment_method: { prefix: 'x' } }, `${oneOf}none of them meets prefix "x"`],
    [{ payment_method: { gt: 'u' } }, `${oneOf}none of them meets gt "u"`],
    [{ notes: { gt: 'b', lt: 'a' } }, '"notes" is a text: no value meets gt "b" and lt "a"'],
  ])('%j', (filter, message) => {
    expect(judge(filter).join('\n')).toContain(message);
  });

  test.each<Filter>([
    { amount: { gt: 3, lt: 5 } },
    { amount: { gte: 5, lte: 5 } },
    { amount: { gt: '9', lte: '10' } },
    { amount: { gt: 3, lt: 4 } },
    { amount: { exists: false } },
    { payment_id: ['10', 11, ' 1e3 ', '9007199254740993', '5.00'] },
    { payment_id: { gt: 3, lt: 5 } },
    { payment_id: { gt: 1.5 } },
    { created_at: { gt: '2026', lt: '2027-01' } },
    { created_at: { gte: '2028-02-29', lt: '2028-03-01T00:00:00Z' } },
    { created_at: { gt: '2026-03-07T11:30:00-04:00', lt: '2026-03-07T15:30:01Z' } },
    { created_at: { prefix: '2026-03' } },
    { created_at: ['2026-03-07T15:30:00Z'] },
    { payment_method: [' CASH ', 'check', ''] },
    { payment_method: { not: ['cash'], prefix: 'C' } },
    { payment_method: { gt: 'd' } },
    { notes: ['> me', 5], status: { exists: true } },
  ])('takes %j', (filter) => {
    expect(judge(filter)).toEqual([]);
  });

  test('takes what one of its events can meet', () => {
    expect(judge({ status: ['refunded'] }, ['payment.*', 'appointment.*'])).toEqual([]);
    expect(judge({ status: ['nowhere'] }, ['payment.received'])).toHaveLength(1);
  });
});

describe('events that a filter keeps back for a name that they lack', () => {
  const typeOf = (type: string, fields: string[]) => ({ type, fields, table: 'visits', rule: '' });
  const types = [typeOf('visit.a', ['id', 'room']), typeOf('visit.b', ['id']), typeOf('visit.c', ['id'])];
  const unsent = (events: string[], filter: Filter): string[] =>
    findUnsent({ events, filter }, { types, watch: new Map() });

  test('are named, one or more, in a sentence that counts them', () => {
    expect(unsent(['visit.a', 'visit.b'], { room: ['1'] })).toEqual([
      'filter: "room" keeps back every event of visit.b, which lacks it: take it out of events, or make a second webhook for it without this filter',
    ]);
    expect(unsent(['visit.*'], { room: ['1'] })).toEqual([
      'filter: "room" keeps back every event of visit.b, visit.c, which lack it: take them out of events, or make a second webhook for them without this filter',
    ]);
  });

  test('are none when all events have the name, when none has, or when absence is what the filter asks', () => {
    expect(unsent(['visit.*'], { id: ['1'] })).toEqual([]);
    expect(unsent(['visit.b', 'visit.c'], { room: ['1'] })).toEqual([]);
    expect(unsent(['visit.*'], { room: { exists: false } })).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import { parseStoredFilter } from '../../src/config/setting/filter.ts';
import { parseWebhookInput } from '../../src/config/setting/webhook-input.ts';
import { parseInputJson } from '../../src/lib/exact-json.ts';
import { loadText, problemsOf, secret } from './folder.ts';

const webhook = (filter: string): string =>
  `webhooks:\n  - name: Payments\n    url: https://api.example.com/x\n    events: [payment.received]\n    secret: ${secret}\n    filter: ${filter}\n`;
const problem = (filter: string): string => problemsOf(webhook(filter)).join('\n');

/** The same text is a filter in YAML, in JSON at the API and the command line, and in the table. */
const same: [string, unknown][] = [
  ['{ "branch_id": 9007199254740993 }', { branch_id: ['9007199254740993'] }],
  ['{ "branch_id": [-9007199254740993, 3] }', { branch_id: ['-9007199254740993', 3] }],
  ['{ "branch_id": 9007199254740991 }', { branch_id: [9007199254740991] }],
  ['{ "amount": 12345678901234567.89 }', { amount: ['12345678901234567.89'] }],
  ['{ "amount": 0.1 }', { amount: [0.1] }],
  ['{ "amount": 1.50 }', { amount: [1.5] }],
  ['{ "amount": 1e3 }', { amount: [1000] }],
  ['{ "amount": 123456789012345678901234567890 }', { amount: ['123456789012345678901234567890'] }],
  [
    '{ "amount": { "gt": 9007199254740993, "not": 9007199254740993 } }',
    {
      amount: { gt: '9007199254740993', not: ['9007199254740993'] },
    },
  ],
  [
    '{ "a": { "gte": 1, "lte": "2026-01-01", "prefix": "x", "exists": true, "not": ["", true] } }',
    {
      a: { gte: 1, lte: '2026-01-01', prefix: 'x', exists: true, not: ['', true] },
    },
  ],
  ['{ "b": [true, 1], "c": "> me" }', { b: [true, 1], c: ['> me'] }],
];

const refused: [string, string][] = [
  ['{ "a": "> 100" }', 'write { gt: 100 }'],
  ['{ "a": [">=100"] }', 'write { gte: 100 }'],
  ['{ "a": " < -1.5" }', 'write { lt: -1.5 }'],
  ['{ "a": "<=2026-01-01" }', 'write { lte: 2026-01-01 }'],
  ['{ "a": "!= 3" }', 'write { not: 3 }'],
  ['{ "a": "<> 3" }', 'write { not: 3 }'],
  ['{ "a": "= 3" }', 'write 3'],
  ['{ "a": { "gt": "> 3" } }', 'write { gt: 3 }'],
  ['{ "a": { "greater": 3 } }', 'greater is not an operator'],
  ['{ "a": { "gtt": 3 } }', 'did you mean "gt"'],
  ['{ "a": { "gt": null } }', 'gt must be a number, or a text such as a date'],
  ['{ "a": { "gt": true } }', 'gt must be a number, or a text such as a date'],
  ['{ "a": { "gt": [1] } }', 'gt must be a number, or a text such as a date'],
  ['{ "a": { "prefix": 5 } }', 'prefix must be a text'],
  ['{ "a": { "prefix": " " } }', 'prefix must be a text'],
  ['{ "a": { "exists": "yes" } }', 'exists must be true or false'],
  ['{ "a": { "not": [] } }', 'not must be a value or a list of values'],
  ['{ "a": null }', 'null meets only exists: false: write { exists: false }'],
  ['{ "a": [1, null] }', 'null meets only exists: false: write { exists: false }'],
  ['{ "a": { "not": null } }', 'null meets only exists: false: write { exists: true }'],
  ['{ "a": { "not": ["x", null] } }', 'null meets only exists: false: write { exists: true }'],
  ['{ "a": { "exists": false, "gt": 5 } }', 'exists: false leaves no value for gt: write one of the two'],
  ['{ "a": "> 100" }', 'is a text, not a comparison'],
  ['{ "a": {} }', 'must be a value, a list of values, or a map of gt'],
  ['{ "a": [] }', 'must be a value, a list of values, or a map of gt'],
  ['{ "a": [[1]] }', 'must be a value, a list of values, or a map of gt'],
];

describe('the name of a webhook', () => {
  const named = (name: string): string => webhook('{ a: 1 }').replace('name: Payments', `name: "${name}"`);
  const message = 'name: is digits alone, which would be taken for an id: add a letter';

  it.each(['1', '007', '9007199254740993'])('is not digits alone: %s', (name) => {
    expect(problemsOf(named(name)).join('\n')).toContain(message);
    expect(() => parseWebhookInput({ name })).toThrow(message);
  });

  it.each(['1a', '-1', '1.5', '1 2', 'Pagos 2'])('may be %s', (name) => {
    expect(loadText(named(name)).webhooks[0]?.name).toBe(name);
    expect(parseWebhookInput({ name })).toEqual({ name });
  });
});

describe('a filter', () => {
  it.each(same)('is read alike in YAML, in JSON and in the table, exactly: %s', (text, expected) => {
    expect(loadText(webhook(text)).webhooks[0]?.filter).toEqual(expected);
    expect(parseWebhookInput({ filter: parseInputJson(text) }).filter).toEqual(expected);
    expect(parseStoredFilter(parseInputJson(text))).toEqual(expected);
    // What is stored is read back as it was.
    expect(parseStoredFilter(parseInputJson(JSON.stringify(expected)))).toEqual(expected);
  });

  it.each(refused)('is refused with what to write, in each of them: %s', (text, message) => {
    expect(problem(text)).toContain(message);
    expect(() => parseWebhookInput({ filter: parseInputJson(text) })).toThrow(message);
    expect(() => parseStoredFilter(parseInputJson(text))).toThrow(message);
  });

  it('of the table says what is wrong with each entry', () => {
    expect(() => parseStoredFilter({ a: '> 100', b: null, c: 1, d: {}, e: { above: 1 } })).toThrow(
      /"a" is a text, not a comparison.*; "b" null meets only.*; "d" must be.*; "e" above is not an operator/,
    );
    const many = Object.fromEntries(Array.from({ length: 25 }, (_, n) => [`f${n}`, null]));
    expect(() => parseStoredFilter(many)).toThrow(/"f19".*; and 5 more$/);
  });

  it.each(['.inf', '.nan'])('has no number that is none: %s', (value) => {
    expect(problem(`{ a: ${value} }`)).toContain('must be a value');
  });

  it('keeps the digits of every spelling that YAML has for a number', () => {
    const filter =
      '{ a: +9007199254740993, b: 0x20000000000001, c: 9007199254740993.0, d: 9.007199254740993e15 }';
    expect(loadText(webhook(filter)).webhooks[0]?.filter).toEqual({
      a: ['9007199254740993'],
      b: ['9007199254740993'],
      c: ['9007199254740993'],
      d: ['9007199254740993'],
    });
  });
});

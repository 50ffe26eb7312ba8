import { AppError } from '../../lib/errors.ts';
import { isExactNumber, numberText } from '../../lib/exact-json.ts';
import { didYouMean } from '../../lib/suggest.ts';
import { isMap } from '../yaml/layer.ts';
import { space } from './plain-scalars.ts';
import { scalar } from './scalar.ts';

export type FilterValue = string | number | boolean;

/** All given conditions must hold. A null value meets only `exists: false`. */
export interface FilterOperators {
  gt?: string | number;
  gte?: string | number;
  lt?: string | number;
  lte?: string | number;
  /** None of these. */
  not?: readonly FilterValue[];
  prefix?: string;
  exists?: boolean;
}

/** Field of data, or column of the changed row → the values that it may have, or what must hold of its value. */
export type Filter = Readonly<Record<string, readonly FilterValue[] | FilterOperators>>;

const orderOperators = ['gt', 'gte', 'lt', 'lte'] as const;
const operators = [...orderOperators, 'not', 'prefix', 'exists'] as const;
type Operator = (typeof operators)[number];

const forms = `a value, a list of values, or a map of ${operators.join(', ')}`;
/** `> 100`, a comparison written as a text, which would be compared as text. */
const comparison = /^\s*(>=|<=|<>|!=|==|>|<|=)\s*(-?\d\S*)\s*$/;
const written: Readonly<Record<string, string>> = { '>': 'gt', '>=': 'gte', '<': 'lt', '<=': 'lte' };

const noComparison = { not: { type: 'string', pattern: comparison.source } };
const valueSchema = { type: ['string', 'number', 'boolean'], ...noComparison };
const valuesSchema = { anyOf: [valueSchema, { type: 'array', minItems: 1, items: valueSchema }] };
/** A text that is not blank; `pattern` applies only to texts. */
const notBlank = { pattern: `[^${space}]` };
const orderSchema = { type: ['string', 'number'], ...notBlank, ...noComparison };

/** The condition of a filter on one field: see FilterOperators. A single value becomes a list with one item. */
export function filterTest() {
  return scalar<readonly FilterValue[] | FilterOperators>({
    mustBe: `${forms}; a value is text, a number, true or false`,
    json: {
      anyOf: [
        ...valuesSchema.anyOf,
        {
          type: 'object',
          minProperties: 1,
          additionalProperties: false,
          properties: {
            ...Object.fromEntries(orderOperators.map((name) => [name, orderSchema])),
            not: valuesSchema,
            prefix: { type: 'string', ...notBlank },
            exists: { type: 'boolean' },
          },
          // No other operator can match a field without a value.
          anyOf: [{ maxProperties: 1 }, { properties: { exists: { const: true } } }],
        },
      ],
    },
    parse: (input) => (isMap(input) ? parseOperators(input) : parseValues(input)),
  });
}

/** An error lists at most this many entries of a filter, because SQL can write any number. */
const maxNamed = 20;

/** Reads a filter from the store, where SQL may have written it. Throws AppError ERR_CONFIG with the problem of each entry. */
export function parseStoredFilter(stored: unknown): Filter {
  if (!isMap(stored)) throw new AppError('ERR_CONFIG', `must be a map of field: ${forms}`);
  const problems: string[] = [];
  const entries = Object.entries(stored).flatMap(([field, given]) => {
    try {
      const test = isMap(given) ? parseOperators(given) : parseValues(given);
      if (test !== undefined) return [[field, test] as const];
      problems.push(`"${field}" must be ${forms}`);
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'ERR_CONFIG')) throw error;
      problems.push(`"${field}" ${error.message}`);
    }
    return [];
  });
  if (problems.length > 0) {
    const more = problems.length > maxNamed ? `; and ${problems.length - maxNamed} more` : '';
    throw new AppError('ERR_CONFIG', problems.slice(0, maxNamed).join('; ') + more);
  }
  return Object.fromEntries(entries);
}

/** `isThere`: the operand of `exists` that replaces a null. */
function parseValues(input: unknown, isThere = false): readonly FilterValue[] | undefined {
  const given: readonly unknown[] = Array.isArray(input) ? input : [input];
  if (given.includes(null)) {
    throw new AppError('ERR_CONFIG', `null meets only exists: false: write { exists: ${isThere} }`);
  }
  const values = given.map(toValue);
  return values.length > 0 && values.every((value) => value !== undefined) ? values : undefined;
}

/** A number that a double cannot hold is kept as the text of its digits, which is compared by value like a number. */
function toValue(input: unknown): FilterValue | undefined {
  if (isExactNumber(input)) return numberText(input)!;
  if (typeof input === 'string') refuseComparison(input);
  if (typeof input === 'number' && !Number.isFinite(input)) return undefined;
  return ['string', 'number', 'boolean'].includes(typeof input) ? (input as FilterValue) : undefined;
}

function refuseComparison(text: string): void {
  const [, sign, operand] = comparison.exec(text) ?? [];
  if (sign === undefined) return;
  const operator = written[sign];
  const right =
    operator !== undefined
      ? `{ ${operator}: ${operand} }`
      : sign.includes('=') && sign !== '!='
        ? operand
        : `{ not: ${operand} }`;
  throw new AppError(
    'ERR_CONFIG',
    `is a text, not a comparison: write ${right}, with the operand in quotes where the field is a text`,
  );
}

function parseOperators(input: Readonly<Record<string, unknown>>): FilterOperators | undefined {
  const entries = Object.entries(input);
  if (entries.length === 0) return undefined;
  const parsed: FilterOperators = Object.fromEntries(
    entries.map(([name, operand]) => [name, parseOperand(name, operand)]),
  );
  const other = entries.find(([name]) => name !== 'exists')?.[0];
  if (parsed.exists === false && other !== undefined) {
    throw new AppError('ERR_CONFIG', `exists: false leaves no value for ${other}: write one of the two`);
  }
  return parsed;
}

function parseOperand(name: string, operand: unknown): FilterOperators[Operator] {
  const parsed = operandOf(name, operand);
  if (parsed !== undefined) return parsed;
  const problem = (operators as readonly string[]).includes(name)
    ? `${name} must be ${operandForms[name as Operator]}`
    : `${name} is not an operator${(name.length > 1 && didYouMean(name, operators)) || `: it is one of ${operators.join(', ')}`}`;
  throw new AppError('ERR_CONFIG', problem);
}

const order = 'a number, or a text such as a date';
const operandForms: Readonly<Record<Operator, string>> = {
  gt: order,
  gte: order,
  lt: order,
  lte: order,
  not: 'a value or a list of values',
  prefix: 'a text of at least one character',
  exists: 'true or false',
};

function operandOf(name: string, operand: unknown): FilterOperators[Operator] | undefined {
  switch (name) {
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte': {
      const value = toValue(operand);
      return typeof value === 'number' || (typeof value === 'string' && value.trim() !== '')
        ? value
        : undefined;
    }
    case 'not':
      return parseValues(operand, true);
    case 'prefix':
      return typeof operand === 'string' && operand.trim() !== '' ? operand : undefined;
    case 'exists':
      return typeof operand === 'boolean' ? operand : undefined;
    default:
      return undefined;
  }
}

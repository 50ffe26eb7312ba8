import type { Cell, ColumnKind, Row } from '../../binlog/types.ts';
import { isZeroDate } from '../../change/values.ts';
import { plainNumber } from '../../lib/exact-json.ts';

/** Whether a cell is among the values of a condition; undefined when that depends on a cell that the row image lacks. */
export type Match = (cell: Cell, row: Row) => boolean | undefined;

export type Scalar = string | number | boolean | null;

/** Another column of the row, as its index; -1 when the table has none of that name: it counts as NULL. */
export interface Operand {
  column: number;
}

/** The accepted values of a condition. */
export interface Values {
  /** Accept what is not listed. */
  negated: boolean;
  listed: readonly (Scalar | Operand)[];
}

/** The literal that stands for any value but NULL. */
export const notNull = 'not null';

/** Distinct values remembered a condition: status columns have a handful, and free text must not fill the memory. */
const maxRemembered = 512;

/**
 * Compiles a list of accepted values for a kind of column. Text is compared trimmed and case-insensitively, numbers by
 * value (`1` and `1.00`), true and false as 1 and 0 in a column of numbers, a SET by whether it has the label, and
 * a zero date is NULL.
 */
export function compileMatch(kind: ColumnKind, { listed, negated }: Values): Match {
  const accepted = new Set<string>();
  const operands: number[] = [];
  let acceptsNull = false;
  let acceptsAnyValue = false;
  for (const value of listed) {
    if (value === null) acceptsNull = true;
    else if (value === notNull) acceptsAnyValue = true;
    else if (typeof value === 'object') operands.push(value.column);
    else accepted.add(canonicalLiteral(kind, value));
  }
  const isListed = (cell: Cell): boolean => {
    const text = canonical(kind, cell);
    if (text === null) return acceptsNull;
    if (acceptsAnyValue || accepted.has(text)) return true;
    return kind === 'set' && text.split(',').some((label) => accepted.has(label.trim()));
  };
  const matchOne = remembered((cell) => isListed(cell) !== negated);
  if (operands.length === 0) return matchOne;
  return (cell, row) => {
    const answers = [isListed(cell), ...operands.map((index) => isSame(kind, cell, cellAt(row, index)))];
    const isIn = answers.includes(true) || (answers.includes(undefined) ? undefined : false);
    return isIn === undefined ? undefined : isIn !== negated;
  };
}

/** A column that the table does not have counts as NULL. */
export const cellAt = (row: Row, index: number): Cell => (index < 0 ? null : row[index]);

function isSame(kind: ColumnKind, a: Cell, b: Cell): boolean | undefined {
  return b === undefined ? undefined : canonical(kind, a) === canonical(kind, b);
}

/** Keeps the answers for values seen before: half the time of a rule went into trimming and lower-casing again. */
function remembered(answer: (cell: Cell) => boolean): Match {
  const answers = new Map<Cell, boolean>();
  return (cell) => {
    const known = answers.get(cell);
    if (known !== undefined) return known;
    const found = answer(cell);
    if (answers.size < maxRemembered && !(cell instanceof Uint8Array)) answers.set(cell, found);
    return found;
  };
}

/** The kinds whose values are compared as numbers. */
export const isNumeric = (kind: ColumnKind): boolean =>
  kind === 'integer' || kind === 'decimal' || kind === 'float' || kind === 'bit' || kind === 'year';

/** A literal of the rules as it is compared with columns of a kind. */
export function canonicalLiteral(kind: ColumnKind, value: string | number | boolean): string {
  return canonicalText(kind, isNumeric(kind) && typeof value === 'boolean' ? Number(value) : value);
}

/** A cell as it is compared; null for NULL. */
function canonical(kind: ColumnKind, cell: Cell): string | null {
  if (cell === null || cell === undefined || isZeroDate(cell)) return null;
  return canonicalText(kind, cell instanceof Uint8Array ? new TextDecoder().decode(cell) : cell);
}

function canonicalText(kind: ColumnKind, value: string | number | boolean): string {
  const text = String(value).trim().toLowerCase();
  return isNumeric(kind) ? canonicalNumber(text) : text.normalize('NFC');
}

/** `007.50`, `7.5` and `75e-1` are the same number. Text that is no number is compared as text. */
function canonicalNumber(text: string): string {
  const match = /^([+-]?)0*(\d*)(?:\.(\d*?)0*)?$/.exec(plainNumber(text));
  if (!match) return text;
  const [, sign = '', whole = '', fraction = ''] = match;
  if (whole === '' && fraction === '') return '0';
  return `${sign === '-' ? '-' : ''}${whole || '0'}${fraction === '' ? '' : `.${fraction}`}`;
}

/** Exact order of two numeric cells: negative, 0 or positive; undefined when one of them is no number. */
export function compareNumbers(a: Cell, b: Cell): number | undefined {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const x = toNumber(a);
  const y = toNumber(b);
  if (x === undefined || y === undefined) return undefined;
  // Only where a double cannot tell them apart may the digits differ beyond what it holds.
  return x === y ? compareDigits(String(a), String(b)) : x - y;
}

function toNumber(cell: Cell): number | undefined {
  if (typeof cell === 'number') return cell;
  if (typeof cell !== 'string' || cell.trim() === '') return undefined;
  const number = Number(cell);
  return Number.isFinite(number) ? number : undefined;
}

/** Order of two decimal texts of any length. */
function compareDigits(a: string, b: string): number {
  const [p, q] = [plainNumber(a.trim()), plainNumber(b.trim())];
  const scale = Math.max(fractionDigits(p), fractionDigits(q));
  const [x, y] = [scaled(p, scale), scaled(q, scale)];
  if (x === undefined || y === undefined || x === y) return 0;
  return x < y ? -1 : 1;
}

const fractionDigits = (text: string): number => text.split('.')[1]?.length ?? 0;

/** `12.5` at scale 2 is 1250; undefined for what is no plain number. */
function scaled(text: string, scale: number): bigint | undefined {
  const [whole = '', fraction = ''] = text.split('.');
  const digits = whole + fraction.padEnd(scale, '0');
  return /^[+-]?\d+$/.test(digits) ? BigInt(digits.replace('+', '')) : undefined;
}

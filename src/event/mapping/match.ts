import type { Cell, ColumnKind, Row } from '../../binlog/types.ts';
import { isZeroDate } from '../../change/values.ts';
import { plainNumber } from '../../lib/exact-json.ts';

/** Whether a cell is among the values of a condition; undefined if that depends on a cell that the row image lacks. */
export type Match = (cell: Cell, row: Row) => boolean | undefined;

export type Scalar = string | number | boolean | null;

/** The index of another column of the row; -1 if the table has no such column: it counts as NULL. */
export interface Operand {
  column: number;
}

/** The accepted values of a condition. */
export interface Values {
  /** Accept every value that is not listed. */
  negated: boolean;
  listed: readonly (Scalar | Operand)[];
}

/** The literal that stands for any value but NULL. */
export const notNull = 'not null';

/** Number of distinct values remembered for each condition: status columns have few values, and free text must not fill the memory. */
const maxRemembered = 512;

/**
 * Compiles a list of accepted values for a kind of column. Text is compared trimmed and case-insensitively, and numbers by
 * value (`1` and `1.00`). In a numeric column true and false are 1 and 0. A SET matches if it has the label. A zero date is NULL.
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

/** Remembers the answers for values seen before: half of a rule's time was spent on trimming and lower-casing values again. */
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

/** The canonical text of a literal in a rule, for comparison with columns of a kind. */
export function canonicalLiteral(kind: ColumnKind, value: string | number | boolean): string {
  return canonicalText(kind, isNumeric(kind) && typeof value === 'boolean' ? Number(value) : value);
}

/** The canonical text of a cell for comparison; null for NULL. */
function canonical(kind: ColumnKind, cell: Cell): string | null {
  if (cell === null || cell === undefined || isZeroDate(cell)) return null;
  return canonicalText(kind, cell instanceof Uint8Array ? new TextDecoder().decode(cell) : cell);
}

function canonicalText(kind: ColumnKind, value: string | number | boolean): string {
  const text = String(value).trim().toLowerCase();
  return isNumeric(kind) ? canonicalNumber(text) : text.normalize('NFC');
}

/** `007.50`, `7.5` and `75e-1` are the same number. Text that is not a number is compared as text. */
function canonicalNumber(text: string): string {
  const match = /^([+-]?)0*(\d*)(?:\.(\d*?)0*)?$/.exec(plainNumber(text));
  if (!match) return text;
  const [, sign = '', whole = '', fraction = ''] = match;
  if (whole === '' && fraction === '') return '0';
  return `${sign === '-' ? '-' : ''}${whole || '0'}${fraction === '' ? '' : `.${fraction}`}`;
}

/** Exact order of two numeric cells: negative, 0 or positive; undefined if one of them is not a number. */
export function compareNumbers(a: Cell, b: Cell): number | undefined {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const x = toNumber(a);
  const y = toNumber(b);
  if (x === undefined || y === undefined) return undefined;
  // Digits beyond the precision of a double matter only if the two doubles are equal.
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

/** `12.5` at scale 2 is 1250; undefined if the text is not a plain number. */
function scaled(text: string, scale: number): bigint | undefined {
  const [whole = '', fraction = ''] = text.split('.');
  const digits = whole + fraction.padEnd(scale, '0');
  return /^[+-]?\d+$/.test(digits) ? BigInt(digits.replace('+', '')) : undefined;
}

import type { Cell, ColumnKind } from '../binlog/types.ts';
import { withMilliseconds, type ClinicZone } from './clinic-zone.ts';
import { parseExactJson, quoteJson } from '../lib/exact-json.ts';

/** Returns the JSON text of a cell for a payload. An absent cell is null, as SQL NULL is. */
export type ToJsonText = (cell: Cell) => string;

/**
 * The codec of a kind of column: DECIMAL is exact, an integer is a number while safe and a string beyond 2^53, DATE is
 * `YYYY-MM-DD`, TIME `HH:MM:SS` with its fraction, TIMESTAMP ISO 8601 in UTC, DATETIME ISO 8601 with the clinic's
 * offset, ENUM and SET their labels, JSON itself, binary base64. A date with a zero month or day becomes null.
 * It writes text rather than values, because a payload is sent far more often than it is read.
 */
export function jsonText(kind: ColumnKind, zone: ClinicZone): ToJsonText {
  switch (kind) {
    case 'integer':
    case 'bit':
    case 'year':
      return integerText;
    case 'decimal':
      return decimalText;
    case 'float':
      return floatText;
    case 'date':
      return (cell) => (isZeroDate(cell) ? 'null' : textText(cell));
    case 'timestamp':
      return (cell) => (typeof cell !== 'string' || isZeroDate(cell) ? 'null' : `"${utcToIso(cell)}"`);
    case 'datetime':
      return (cell) => (typeof cell !== 'string' || isZeroDate(cell) ? 'null' : `"${zone.toIso(cell)}"`);
    case 'json':
      return jsonColumnText;
    case 'binary':
    case 'geometry':
    case 'time':
    case 'text':
    case 'enum':
    case 'set':
    case 'uuid':
    case 'inet':
      return textText;
  }
}

/** Whether a date does not exist because its month or day is zero. */
export function isZeroDate(cell: Cell): boolean {
  return typeof cell === 'string' && /^\d{4}-(?:00|\d\d-00)/.test(cell);
}

function integerText(cell: Cell): string {
  if (typeof cell === 'number') return String(cell);
  if (typeof cell !== 'string') return textText(cell);
  return Number.isSafeInteger(Number(cell)) ? String(Number(cell)) : quoteJson(cell);
}

const jsonNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/;

/** Exact. JSON allows no leading zeros, which a SELECT prints for ZEROFILL columns. */
function decimalText(cell: Cell): string {
  if (typeof cell !== 'string') return floatText(cell);
  if (jsonNumber.test(cell)) return cell;
  const trimmed = cell.replace(/^(-?)0+(?=\d)/, '$1');
  return jsonNumber.test(trimmed) ? trimmed : quoteJson(cell);
}

function floatText(cell: Cell): string {
  return typeof cell === 'number' && Number.isFinite(cell) ? String(cell) : 'null';
}

/** Text as it is; bytes as base64, also text whose character set is unknown, so that no garbled text is sent. */
function textText(cell: Cell): string {
  if (typeof cell === 'string') return quoteJson(cell);
  if (typeof cell === 'number') return String(cell);
  if (!(cell instanceof Uint8Array)) return 'null';
  return `"${Buffer.from(cell.buffer, cell.byteOffset, cell.byteLength).toString('base64')}"`;
}

function utcToIso(text: string): string {
  return `${text.slice(0, 10)}T${withMilliseconds(text.slice(11))}Z`;
}

/** Compact. MariaDB's JSON is text with a check that may be off: a value that is not JSON becomes a JSON string. */
function jsonColumnText(cell: Cell): string {
  if (typeof cell !== 'string') return textText(cell);
  try {
    return JSON.stringify(parseExactJson(cell));
  } catch {
    return quoteJson(cell);
  }
}

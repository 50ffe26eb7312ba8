import type { Cell, ColumnKind } from '../binlog/types.ts';
import { withMilliseconds, type ClinicZone } from './clinic-zone.ts';
import { exactNumber, parseExactJson } from './exact-json.ts';

/** A cell as the JSON value that stands for it in a payload. An absent cell is null, as SQL NULL is. */
export type ToJson = (cell: Cell) => unknown;

/**
 * The codec of a kind of column: DECIMAL is exact, an integer is a number while safe and a string beyond 2^53, DATE is
 * `YYYY-MM-DD`, TIME `HH:MM:SS` with its fraction, TIMESTAMP ISO 8601 in UTC, DATETIME ISO 8601 with the clinic's
 * offset, ENUM and SET their labels, JSON itself, binary base64. A date with a zero month or day is no date: null.
 */
export function jsonCodec(kind: ColumnKind, zone: ClinicZone): ToJson {
  switch (kind) {
    case 'integer':
    case 'bit':
    case 'year':
      return integerToJson;
    case 'decimal':
      return (cell) => (typeof cell === 'string' ? exactNumber(cell) : (cell ?? null));
    case 'float':
      return floatToJson;
    case 'date':
      return (cell) => (isZeroDate(cell) ? null : (cell ?? null));
    case 'timestamp':
      return (cell) => (typeof cell !== 'string' || isZeroDate(cell) ? null : utcToIso(cell));
    case 'datetime':
      return (cell) => (typeof cell !== 'string' || isZeroDate(cell) ? null : zone.toIso(cell));
    case 'json':
      return (cell) => (typeof cell === 'string' ? jsonColumn(cell) : (cell ?? null));
    case 'binary':
    case 'geometry':
      return bytesToJson;
    case 'time':
    case 'text':
    case 'enum':
    case 'set':
    case 'uuid':
    case 'inet':
      return textToJson;
  }
}

/** Whether a date or time of day is one that does not exist: a month or a day is zero. */
export function isZeroDate(cell: Cell): boolean {
  return typeof cell === 'string' && /^\d{4}-(?:00|\d\d-00)/.test(cell);
}

function integerToJson(cell: Cell): unknown {
  if (typeof cell !== 'string') return cell ?? null;
  const number = Number(cell);
  return Number.isSafeInteger(number) ? number : cell;
}

function floatToJson(cell: Cell): unknown {
  if (cell === null || cell === undefined) return null;
  const number = Number(cell);
  return Number.isFinite(number) ? number : null;
}

function bytesToJson(cell: Cell): unknown {
  if (!(cell instanceof Uint8Array)) return cell ?? null;
  return Buffer.from(cell.buffer, cell.byteOffset, cell.byteLength).toString('base64');
}

/** Text as it is; bytes where text is due (a character set that nobody knows) as base64, never as garbled text. */
function textToJson(cell: Cell): unknown {
  return cell instanceof Uint8Array ? bytesToJson(cell) : (cell ?? null);
}

function utcToIso(text: string): string {
  return `${text.slice(0, 10)}T${withMilliseconds(text.slice(11))}Z`;
}

/** MariaDB's JSON is text with a check that may be off: what is no JSON is told as the text that it is. */
function jsonColumn(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    return text;
  }
}

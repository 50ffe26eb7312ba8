import ipaddr from 'ipaddr.js';
import type { Cell, ColumnKind } from '../../types.ts';
import { isSameJson } from './compare-json.ts';
import { coordinatesOf, flatCoordinates } from './coordinates.ts';

/**
 * Whether both readers return the same value. `ours` is a Cell as types.ts defines it, `theirs` is zongji's value with `dateStrings`,
 * `timezone: 'Z'` and `jsonStrings`. Each kind is compared exactly by its meaning: a number by all its digits, a text by all its code
 * points.
 */
export function isSameValue(kind: ColumnKind, ours: Exclude<Cell, undefined>, theirs: unknown): boolean {
  if (ours === null || theirs === null) return ours === theirs;
  switch (kind) {
    case 'integer':
    case 'year':
      return isNumberOrText(theirs) && String(ours) === String(theirs);
    case 'decimal':
      return typeof theirs === 'string' && ours === theirs;
    case 'float':
      return typeof ours === 'number' && (Object.is(ours, theirs) || Object.is(Math.fround(ours), theirs));
    case 'bit':
      return theirs instanceof Uint8Array && String(ours) === String(bitsOf(theirs));
    case 'date':
    case 'time':
    case 'datetime':
    case 'timestamp':
    case 'text':
    case 'enum':
    case 'set':
      return typeof theirs === 'string' && ours === theirs;
    case 'binary':
      return ours instanceof Uint8Array && theirs instanceof Uint8Array && Buffer.compare(ours, theirs) === 0;
    case 'json':
      return isSameJson(ours, theirs);
    case 'geometry':
      return ours instanceof Uint8Array && isSameNumbers(coordinatesOf(ours), flatCoordinates(theirs));
    case 'uuid':
      return ours === theirs;
    case 'inet':
      return typeof ours === 'string' && (ours === theirs || isSameAddress(ours, theirs));
  }
}

const isNumberOrText = (value: unknown): value is number | string =>
  typeof value === 'number' || typeof value === 'string';

function bitsOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = value * 256n + BigInt(byte);
  return value;
}

function isSameNumbers(ours: readonly number[], theirs: readonly number[]): boolean {
  return ours.length === theirs.length && ours.every((value, i) => Object.is(value, theirs[i]));
}

function isSameAddress(ours: string, theirs: unknown): boolean {
  if (!(theirs instanceof Uint8Array)) return false;
  // URL converts `::192.0.2.1` to hexadecimal: ipaddr.js would otherwise parse it as a different kind of address.
  const text = ours.includes(':') ? new URL(`http://[${ours}]`).hostname.slice(1, -1) : ours;
  return Buffer.compare(Uint8Array.from(ipaddr.parse(text).toByteArray()), theirs) === 0;
}

import type { Cell, ColumnKind } from '../types.ts';
import { isSameJson } from './compare/compare-json.ts';
import { isMisreadText } from './misread-charset.ts';
import { isReadWithoutUnicode } from './without-unicode.ts';
import {
  approximateCharsets,
  isApproximation,
  knownDifferences,
  undecodedCharsets,
} from './zongji-charsets.ts';
import type { Trouble, ZongjiColumn } from './zongji-log.ts';

/** A value on which the two readers differ. */
export interface Disagreement {
  kind: ColumnKind;
  /** The column as zongji describes it. */
  column: ZongjiColumn;
  /** The column's character set in the data dictionary; null for bytes, undefined if the column no longer exists. */
  charset: string | null | undefined;
  ours: Cell;
  theirs: unknown;
}

interface Misreading {
  /** Explanation for the report. */
  why: string;
  /** As narrow as possible: matches only zongji's known result for such a value. */
  explains(found: Disagreement): boolean;
}

const hasLabelsOrText = ({ kind }: Disagreement): boolean =>
  kind === 'text' || kind === 'enum' || kind === 'set';

/**
 * The values that @vlasky/zongji 0.9.0 is known to misread. Such a cell counts as left out, not as a difference. A test reads each of
 * them with zongji on real servers, and fails when a newer zongji reads it correctly.
 */
export const misreadings = {
  'year-zero': {
    why: 'zongji reads the year 0000 as 1900',
    explains: ({ kind, ours, theirs }) => kind === 'year' && ours === 0 && theirs === 1900,
  },
  'enum-index-zero': {
    why: 'zongji has no value for index 0 of an ENUM, which the server stores for a value that is not in the list',
    explains: ({ kind, ours, theirs }) => kind === 'enum' && ours === '' && theirs === undefined,
  },
  'negative-time': {
    why: 'zongji reads a negative TIME of whole minutes one minute too early, with 64 seconds',
    explains: ({ kind, ours, theirs }) =>
      kind === 'time' &&
      /^-\d+:\d\d:00(\.0*)?$/.test(String(ours)) &&
      /^-\d+:\d\d:64(\.0*)?$/.test(String(theirs)),
  },
  'timestamp-after-2038': {
    why: 'zongji reads a TIMESTAMP after 2038-01-19 03:14:07 (MariaDB 11.5 and later) 136 years too early',
    explains: ({ kind, ours, theirs }) =>
      kind === 'timestamp' &&
      typeof ours === 'string' &&
      ours >= '2038-01-19 03:14:08' &&
      isSecondsBefore(ours, theirs, 2 ** 32),
  },
  'uuid-bytes': {
    why: "zongji returns the stored bytes of MariaDB's UUID, whose order depends on the version of the UUID",
    explains: ({ kind, ours, theirs }) =>
      kind === 'uuid' &&
      theirs instanceof Uint8Array &&
      sortedBytes(Buffer.from(String(ours).replaceAll('-', ''), 'hex')) === sortedBytes(theirs),
  },
  'json-decimal': {
    why: 'zongji reads a DECIMAL in a JSON document as a string',
    explains: ({ kind, ours, theirs }) =>
      kind === 'json' && isSameJson(ours, theirs, { decimalsAsText: true, withoutProto: false }),
  },
  'json-proto': {
    why: 'zongji loses a key named __proto__ of a JSON document',
    explains: ({ kind, ours, theirs }) =>
      kind === 'json' && isSameJson(ours, theirs, { decimalsAsText: true, withoutProto: true }),
  },
  'character-set-undecoded': {
    why: `zongji does not decode the character sets ${undecodedCharsets.join(', ')}`,
    explains: (found) => hasLabelsOrText(found) && undecodedCharsets.includes(String(found.charset)),
  },
  'character-set-approximate': {
    why: `zongji decodes some characters of ${Object.keys(approximateCharsets).join(', ')} otherwise than the server`,
    explains: (found) =>
      hasLabelsOrText(found) &&
      typeof found.charset === 'string' &&
      isApproximation(found.charset, String(found.ours), found.theirs),
  },
  'character-without-unicode': {
    why: 'zongji has characters for codes for which the server returns `?` or a private character, or reads them byte by byte',
    explains: (found) =>
      hasLabelsOrText(found) &&
      typeof found.ours === 'string' &&
      typeof found.charset === 'string' &&
      isReadWithoutUnicode(
        found.charset,
        { ours: found.ours, theirs: found.theirs },
        knownDifferences(found.charset),
      ),
  },
  'character-set-misread': {
    why:
      'zongji takes the column for one of another character set: it does not know the collations uca1400 of MariaDB, ' +
      'and mixes columns up where the table has a geometry (MariaDB) or a vector (MySQL)',
    explains: ({ kind, column, charset, ours, theirs }) =>
      charset !== undefined &&
      (typeof ours === 'string' || ours instanceof Uint8Array) &&
      isMisreadText({ ours, charset, theirs, takenFor: column.charset ?? null, isSet: kind === 'set' }),
  },
} as const satisfies Record<string, Misreading>;

export type MisreadingId = keyof typeof misreadings;

/** Transactions that zongji does not read, or whose rows cannot be compared individually. */
export const troubles: Readonly<Record<Trouble, string>> = {
  'compressed-transaction': 'zongji does not read compressed transactions (binlog_transaction_compression)',
  'partial-json': 'zongji does not read partial updates of JSON (binlog_row_value_options)',
  'xa-transaction': 'the rows of an XA transaction are logged before its end is known',
  'rolled-back': 'the transaction was rolled back, as a whole or in part',
  'unsupported-type':
    'zongji does not read a type of one of the columns: the rows of the transaction are not certain',
  'json-value': 'zongji does not read a value in a JSON document: binary, BIT, geometry',
  'zongji-error': 'zongji reported an error within the transaction',
  'too-large': 'the rows of the transaction take more than 8 MiB of memory',
};

const known = Object.entries(misreadings) as [MisreadingId, Misreading][];

/** Returns the known misreading of zongji that explains the disagreement; undefined for none. */
export function explainDisagreement(found: Disagreement): MisreadingId | undefined {
  // No known misreading turns NULL into a value or a value into NULL.
  if (found.ours === null || found.theirs === null) return undefined;
  return known.find(([, { explains }]) => explains(found))?.[0];
}

function isSecondsBefore(ours: string, theirs: unknown, seconds: number): boolean {
  if (typeof theirs !== 'string') return false;
  const at = (text: string): number => Date.parse(`${text.slice(0, 19).replace(' ', 'T')}Z`) / 1_000;
  return at(ours) - at(theirs) === seconds && ours.slice(19) === theirs.slice(19);
}

const sortedBytes = (bytes: Uint8Array): string => Buffer.from(bytes.toSorted()).toString('hex');

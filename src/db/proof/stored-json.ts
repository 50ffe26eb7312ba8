import { AppError } from '../../lib/errors.ts';

/** Whether a parsed document looks like a T. */
type Shape<T> = (value: unknown) => value is T;
type Of<S> = S extends Shape<infer T> ? T : never;
type Shapes = Readonly<Record<string, Shape<unknown>>>;
type MayBeAbsent<S> = { [K in keyof S]: undefined extends Of<S[K]> ? K : never }[keyof S];
/** An object with fields of these shapes; it may have more fields. */
type Fields<S> = { readonly [K in Exclude<keyof S, MayBeAbsent<S>>]: Of<S[K]> } & {
  readonly [K in MayBeAbsent<S>]?: Of<S[K]>;
};

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value);
const isAny = (value: unknown): value is unknown => value !== undefined;
const orNull =
  <T>(shape: Shape<T>): Shape<T | null> =>
  (value): value is T | null =>
    value === null || shape(value);
const optional =
  <T>(shape: Shape<T>): Shape<T | undefined> =>
  (value): value is T | undefined =>
    value === undefined || shape(value);
const either =
  <A, B>(a: Shape<A>, b: Shape<B>): Shape<A | B> =>
  (value): value is A | B =>
    a(value) || b(value);
const listOf =
  <T>(shape: Shape<T>): Shape<readonly T[]> =>
  (value): value is readonly T[] =>
    Array.isArray(value) && value.every(shape);
const mapOf =
  <T>(shape: Shape<T>): Shape<Readonly<Record<string, T>>> =>
  (value): value is Readonly<Record<string, T>> =>
    isObject(value) && Object.values(value).every(shape);
/** An object with at least these fields. */
const withFields =
  <S extends Shapes>(shapes: S): Shape<Fields<S>> =>
  (value): value is Fields<S> =>
    isObject(value) &&
    Object.entries(shapes).every(([name, shape]) => shape((value as Record<string, unknown>)[name]));

const range = withFields({ from: isCount, to: isCount, sinceMs: isCount, seal: optional(isCount) });
const ordered = withFields({ to: isCount });
const gapped = withFields({ to: isCount, open: listOf(range) });
const progress = withFields({
  attempts: gapped,
  audit_log: gapped,
  event_log: ordered,
  delivery_log: ordered,
  old: withFields({ attempts: isCount, audit_log: isCount, delivery_log: isCount }),
  unmarked: withFields({ attempts: isCount, audit_log: isCount }),
});
/** Without a column, the difference is in the whole row. */
const difference = withFields({ table: isText, column: orNull(isText), type: isText });

/**
 * The shape of the documents that this program writes into each JSON column, as far as it relies on it. Documents of `webhooks` are not
 * included: people write them, and src/outbox/webhook checks them.
 */
const shapes = {
  'installation.decoder_check': withFields({
    versions: isText,
    tables: listOf(isText),
    differences: listOf(difference),
    accepted: listOf(difference),
  }),
  'checkpoint.halt': withFields({
    reason: isText,
    message: isText,
    remedy: isText,
    position: orNull(isObject),
    span: isObject,
  }),
  'checkpoint.waived': listOf(isText),
  // Version 0.1.0 before its release stored only the kind of a column.
  'known_tables.baseline': mapOf(mapOf(either(isText, withFields({ kind: isText })))),
  'known_tables.keys_in_force': withFields({ graph: mapOf(isObject), triggers: listOf(isText) }),
  'seal_state.progress': withFields({ attempts: gapped, audit_log: gapped, seals: isCount }),
  'seal_state.anchor': withFields({ number: isCount, sealedAt: isText, progress: orNull(progress) }),
  'seals.progress': progress,
  'replays.events': listOf(isText),
  // Sealed unchanged, and compared as a whole.
  'audit_log.details': isAny,
  'event_log.read_late': isAny,
} as const satisfies Shapes;

export type JsonColumn = keyof typeof shapes;

/** The documents that may be written into a column: the shape that a reader requires there. */
export type Stored<C extends JsonColumn> = Of<(typeof shapes)[C]>;

/** Returns the text of a document for the store. Its type ensures that parseStored accepts it. */
export function storedText<C extends JsonColumn>(name: C, document: Stored<C>): string;
export function storedText(_: JsonColumn, document: unknown): string {
  return JSON.stringify(document);
}

/** A row has a value that this program does not write there, so SQL wrote it: `audit verify` reports it as an edit. */
export class EditedRowError extends AppError {
  readonly column: string;
  readonly table: string;
  /** Primary key of the row. */
  readonly row: number;

  constructor({ table, column, row }: { table: string; column: string; row: number }, what: string) {
    super('ERR_AUDIT', `${table}, row ${row}: the column ${column} ${what}`);
    this.table = table;
    this.column = column;
    this.row = row;
  }
}

/**
 * Parses a document of the store; `row` is the primary key of its row. Throws EditedRowError (ERR_AUDIT) if it is not JSON, which MariaDB
 * stores with check_constraint_checks=0, or has a shape that this program does not write.
 */
export function parseStored(name: JsonColumn, text: string, row: number): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw edited(name, row);
  }
  if (!shapes[name](value)) throw edited(name, row);
  return value;
}

function edited(name: JsonColumn, row: number): EditedRowError {
  const [table, column] = name.split('.') as [string, string];
  return new EditedRowError(
    { table, column, row },
    'was edited: this program does not write such a document there',
  );
}

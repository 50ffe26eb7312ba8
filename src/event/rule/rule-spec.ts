import { z } from 'zod';
import { didYouMean } from '../../lib/suggest.ts';
import { showKey } from '../../config/problems.ts';
import { systemEventTypes } from '../system-events.ts';

/**
 * The form of a rules file. One definition serves three purposes: it checks the file, it types the result, and the JSON
 * schema for editors (config/schema/events.schema.json) is generated from it.
 */

type Scalar = string | number | boolean | null;

/** Another column of the same row, in place of a value. */
interface ColumnOperand {
  column: string;
}

type Listed = Scalar | ColumnOperand;

export type ValuesSpec = Listed | readonly Listed[] | { not: Scalar | readonly Scalar[] };

export type ThresholdSpec = number | string | ColumnOperand;

/** The origin of a value of the payload. */
export type SourceSpec =
  | string
  | readonly SourceSpec[]
  | LiteralSpec
  | FindSpec
  | SiblingSpec
  | TranslateSpec
  | PartSpec
  | MinusSpec;

export interface LiteralSpec {
  value: unknown;
}

export interface FindSpec {
  lookup?: string | undefined;
  rows?: string | undefined;
  by: Readonly<Record<string, string | LiteralSpec>>;
  select: SourceSpec | Readonly<Record<string, SourceSpec>>;
}

export interface SiblingSpec extends Pick<FindSpec, 'by' | 'select'> {
  sibling: string;
}

export interface TranslateSpec {
  translate: SourceSpec;
  words: Readonly<Record<string, Scalar>>;
}

export interface PartSpec {
  date_of?: string | undefined;
  time_of?: string | undefined;
}

export interface MinusSpec {
  minus: string;
}

/** An object whose unknown keys are reported with the nearest known key. */
function strict<Shape extends z.core.$ZodShape>(shape: Shape) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys
            .slice(0, 100)
            .map(
              (key) =>
                `there is no key "${showKey(key)}" here${didYouMean(key, known) || ` (only ${known.join(', ')})`}`,
            )
            .join('; ')
        : undefined,
  });
}

const name = z.string().min(1, 'a name is missing');
const scalarForms = [z.string(), z.number(), z.boolean(), z.null()] as const;
const scalar = z.union(scalarForms, { error: 'expected text, a number, true, false or null' });
const columnOperand = strict({ column: name.describe('Another column of the same row.') });
const listed = z.union([...scalarForms, columnOperand], {
  error: 'expected a value, null, "not null" or { column: name }',
});
const scalars = z.union([...scalarForms, z.array(scalar).min(1, 'the list is empty')], {
  error: 'expected a value or a list of values',
});

const values = z
  .union(
    [...scalarForms, columnOperand, strict({ not: scalars }), z.array(listed).min(1, 'the list is empty')],
    {
      error: 'expected a value, a list of values, null, "not null", { column: name } or { not: values }',
    },
  )
  .describe(
    'A value, a list of accepted values, null, "not null", { column: name }, or { not: values }. Text is compared trimmed and case-insensitively.',
  );

const threshold = z
  .union([z.number(), name, columnOperand], { error: 'expected a number or the name of a column' })
  .describe('A number, or the name of another column of the same row.');

const condition = strict({
  becomes: values
    .describe('The new value is one of these, and the old one was not or the row is new.')
    .optional(),
  leaves: values
    .describe('The old value was one of these, and the new one is not or the row is gone.')
    .optional(),
  changes: z
    .boolean()
    .describe('Whether the value differs from before. Only an update can change a value.')
    .optional(),
  is: values.describe('The value now; of a deleted row, its last one.').optional(),
  was: values.describe('The value before. Never true for a new row.').optional(),
  falls_to: threshold.describe('Now at or below it, and not so before.').optional(),
  rises_to: threshold.describe('Now at or above it, and not so before.').optional(),
}).refine((given) => Object.values(given).some((wanted) => wanted !== undefined), {
  error: 'needs a condition: becomes, leaves, changes, is, was, falls_to or rises_to',
});

export type ConditionSpec = z.infer<typeof condition>;

/** JavaScript would move a field whose name is a number to the front of the payload. */
const fieldName = z
  .string()
  .regex(
    /^[\p{L}_][\p{L}\p{N}_.-]*$/u,
    'a field name is made of letters, digits, "_", "." and "-", and does not begin with a digit',
  );

const literal = strict({ value: z.unknown().describe('Sent as it is.') }).refine(
  (given) => given.value !== undefined,
);

const source: z.ZodType<SourceSpec> = z
  .lazy(() => sourceForms)
  .meta({ id: 'source', description: 'Where the value comes from.' });

/** The shape shared by `lookup`, `rows` and `sibling`. */
const findShape = {
  by: z
    .record(name, z.union([name, literal], { error: 'expected a column of this row, or { value: … }' }))
    .refine((given) => Object.keys(given).length > 0, 'needs at least one column')
    .describe('Column there → column of this row (or { value: … }) that it equals.'),
  select: z
    .union([source, z.record(fieldName, source)])
    .describe(
      'What to take from each row found: a source, or a map of field → source, over the columns there.',
    ),
};

const sourceForms = z.union(
  [
    name.describe(
      'A column; old.<column>; <json column>.<key>; $commit_time; or $changed, the columns that changed with old and new value.',
    ),
    strict({ lookup: name.describe('A parent row: the table to look in.'), ...findShape }),
    strict({ rows: name.describe('Child rows: the table to look in.'), ...findShape }),
    strict({
      sibling: name.describe(
        'A row of another table that the same transaction inserted or updated: the table to look in. Null when there is none, or when several disagree. A { value: … } in by may be a list of accepted values.',
      ),
      ...findShape,
    }),
    strict({
      translate: source,
      words: z.record(z.string(), scalar).describe('Code → word. A code that is not here is sent as it is.'),
    }),
    strict({ date_of: name.describe('The date in a DATETIME or TIMESTAMP column.') }),
    strict({ time_of: name.describe('The time of day in a DATETIME or TIMESTAMP column.') }),
    strict({ minus: name.describe('A column of numbers, with the other sign.') }),
    literal,
    z.array(source).min(1, 'the list is empty').describe('The first of these that is there and not null.'),
  ],
  {
    error:
      'expected a column, old.<column>, $commit_time, $changed, a list of them, or a map with value, lookup, rows, sibling, translate, date_of, time_of or minus',
  },
);

const operation = z.enum(['insert', 'update', 'delete']);

const rule = strict({
  table: name.describe('The table that is watched.'),
  on: z
    .union([z.array(operation).min(1, 'the list is empty'), operation])
    .describe('Which changes fire; insert and update when left out.')
    .optional(),
  with: z
    .record(fieldName, source)
    .describe(
      'Name → a look-up of one column of a parent row, which then is a column of this row to the rest of the rule.',
    )
    .optional(),
  when: z.record(name, condition).describe('Column → conditions; all must hold.').optional(),
  columns: z
    .array(name)
    .min(1, 'the list is empty')
    .describe('At least one of these must change. $changed reports them.')
    .optional(),
  key: name
    .describe('The column that names the entity, for order and search; the primary key when left out.')
    .optional(),
  subject: source
    .describe(
      'Names the patient whose data the event carries: for "who received what about patient X" and for erasure. The field patient_id of data when left out.',
    )
    .optional(),
  data: z
    .record(fieldName, source)
    .describe('Payload field → where its value comes from, in the order of the payload.'),
});

export type RuleSpec = z.infer<typeof rule>;

const eventType = z
  .string()
  .regex(
    /^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+$/,
    'an event type is written noun.verb, as in appointment.confirmed',
  )
  .refine((type) => !systemEventTypes.includes(type), 'this event type is our own');

export const rulesFile = strict({
  missing: z
    .enum(['error', 'warn'])
    .describe(
      'What a table, column or label that the database lacks is: an error (default), or a warning and null in the payload.',
    )
    .optional(),
  events: z
    .record(eventType, z.union([rule, z.array(rule).min(1, 'the list is empty')]))
    .refine((events) => Object.keys(events).length > 0, 'names no event')
    .describe('Event type → its rule, or a list of alternative rules of which the first that holds fires.'),
});

import { readFileSync } from 'node:fs';
import { tableNames, tables, type Image, type TableName, type Transition } from './history.ts';

/** Each event by what tells it from others of its entity. */
export type Told = string;

type Op = 'inserted' | 'updated' | 'deleted';
const ops = { inserted: 'insert', updated: 'update', deleted: 'delete' } as const;
const catalogue = new URL('../../config/events.yaml', import.meta.url);

/** The built-in catalogue, and behind it one rule for each kind of change of each table, with both images whole. */
export function chaosRules(): string {
  const rules = tableNames.flatMap((table) =>
    (Object.keys(ops) as Op[]).map((op) => {
      const before = tables[table].map((column) => `before_${column}: old.${column}`);
      const after = tables[table].map((column) => `after_${column}: ${column}`);
      const data = [...(op === 'inserted' ? [] : before), ...(op === 'deleted' ? [] : after)];
      return `  chaos_${table}.${op}: { table: ${table}, on: ${ops[op]}, data: { ${data.join(', ')} } }\n`;
    }),
  );
  return `${readFileSync(catalogue, 'utf8')}\n${rules.join('')}`;
}

/** The events that a transition must fire, in their order. */
export function expectedEvents(transition: Transition): Told[] {
  const { table, before, after } = transition;
  const op = before ? (after ? 'updated' : 'deleted') : 'inserted';
  return [
    ...catalogueEvents(transition),
    tell(`chaos_${table}.${op}`, [...(before ?? []), ...(after ?? [])]),
  ];
}

/** What was delivered, told in the same way. The timestamps and look-ups of the catalogue's events are other tests' subject. */
export function deliveredEvent(body: string): Told {
  const { event, data } = JSON.parse(body, digits) as { event: string; data: Record<string, string | null> };
  return event.startsWith('chaos_') ? tell(event, Object.values(data)) : event;
}

/** A number by its digits as they were sent: 500.00 is not 500. */
function digits(_key: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' ? context?.source : value;
}

function tell(type: string, values: Image): Told {
  return `${type} ${JSON.stringify(values)}`;
}

/** The catalogue of the contract in a few lines of its own. */
function catalogueEvents({ table, before, after }: Transition): string[] {
  const value = (image: Image | null, column: string): string | null | undefined =>
    image?.[(tables[table] as readonly string[]).indexOf(column)];
  const changed = (column: string): boolean =>
    before !== null && after !== null && value(before, column) !== value(after, column);
  const becomes = (status: string): boolean =>
    value(after, 'status') === status && value(before, 'status') !== status;
  const isLow = (image: Image): boolean => Number(value(image, 'stock')) <= Number(value(image, 'min_stock'));
  const inserted = before === null;
  const rules: Record<TableName, [type: string, fires: boolean][]> = {
    patients: [
      ['patient.created', inserted],
      ['patient.updated', changed('first_name') || changed('phone')],
      ['patient.status_changed', changed('status')],
    ],
    appointments: [
      ['appointment.scheduled', inserted],
      ['appointment.confirmed', becomes('confirmed')],
      ['appointment.completed', becomes('completed')],
      [
        'appointment.cancelled',
        becomes('cancelled') ||
          (after === null && ['scheduled', 'confirmed', 'waiting'].includes(value(before, 'status') ?? '')),
      ],
    ],
    payments: [
      ['payment.received', inserted && value(after, 'status') !== 'refunded'],
      ['payment.refunded', becomes('refunded')],
    ],
    budgets: [
      ['budget.created', inserted],
      ['budget.approved', becomes('approved')],
    ],
    medical_records: [['medical_record.created', inserted]],
    consents: [['consent.signed', becomes('signed')]],
    inventory: [
      ['inventory.low_stock', after !== null && isLow(after) && (before === null || !isLow(before))],
    ],
    audit_logs: [['reminder.sent', inserted && value(after, 'action') === 'reminder_sent']],
  };
  return rules[table].filter(([, fires]) => fires).map(([type]) => type);
}

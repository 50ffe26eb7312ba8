import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  Cell,
  ColumnKind,
  Row,
  RowEvent,
  SourceColumn,
  SourceSchema,
  SourceTable,
  TableSchema,
} from '../../src/binlog/types.ts';
import { netChanges } from '../../src/change/net-changes.ts';
import { compileRules } from '../../src/event/mapping/compile.ts';
import { builtInRulesFile, readRules, type RuleFile } from '../../src/event/rule/rule-file.ts';
import type { DomainEvent, Lookup, LookupRows, MapContext, Rules } from '../../src/event/types.ts';

/** A column written `name kind` (`name? kind` where NULL is allowed), with the labels of an ENUM or SET: `status enum a|b`. */
function columnOf(text: string): SourceColumn {
  const [name = '', kind = 'integer', labels] = text.split(' ');
  return {
    name: name.replace('?', ''),
    kind: kind as ColumnKind,
    nullable: name.endsWith('?'),
    labels: labels?.split('|') ?? null,
  };
}

export function sourceTable(
  name: string,
  columns: readonly string[],
  key: readonly string[] = ['id'],
): SourceTable {
  return { name, columns: columns.map(columnOf), key };
}

export function sourceSchema(...tables: readonly SourceTable[]): SourceSchema {
  return new Map(tables.map((table) => [table.name.toLowerCase(), table]));
}

/** OdontologyApp's tables, as far as the catalogue reads them, and a table that it does not. */
export const ontology = sourceSchema(
  sourceTable('patients', [
    'id',
    'medrecno?',
    'first_name text',
    'last_name text',
    'cedula? text',
    'birth_date? date',
    'phone? text',
    'email? text',
    'sex? enum masculino|femenino|otro',
    'blood_group? text',
    'allergies? text',
    'branch_id?',
    'status enum active|inactive|on_hold',
    'uuid? text',
    'created_at timestamp',
  ]),
  sourceTable('appointments', [
    'id',
    'patient_id',
    'doctor_id',
    'branch_id',
    'appointment_date date',
    'appointment_time time',
    'duration_minutes?',
    'status? enum scheduled|confirmed|waiting|completed|cancelled',
    'notes? text',
    'uuid? text',
    'created_at timestamp',
  ]),
  sourceTable(
    'appointment_services',
    ['appointment_id', 'service_id', 'quantity'],
    ['appointment_id', 'service_id'],
  ),
  sourceTable('services', ['id', 'name text', 'description? text', 'price decimal', 'created_at timestamp']),
  sourceTable('medical_records', [
    'id',
    'patient_id',
    'doctor_id',
    'record_date timestamp',
    'diagnosis? text',
  ]),
  sourceTable('budgets', [
    'id',
    'patient_id',
    'doctor_id',
    'total_amount decimal',
    'status enum draft|pending|approved|rejected|completed',
    'notes? text',
    'created_at timestamp',
  ]),
  sourceTable('budget_items', [
    'id',
    'budget_id',
    'service_id',
    'quantity',
    'unit_price decimal',
    'subtotal decimal',
  ]),
  sourceTable('payments', [
    'id',
    'patient_id',
    'budget_id?',
    'amount decimal',
    'payment_method enum cash|credit_card|debit_card|transfer|check',
    'status enum completed|refunded',
    'notes? text',
    'processed_by?',
    'created_at timestamp',
  ]),
  sourceTable('consents', [
    'id',
    'patient_id',
    'procedure_name text',
    'content? text',
    'status enum pending|signed|revoked',
    'signed_at? datetime',
    'created_at timestamp',
  ]),
  sourceTable('inventory', [
    'id',
    'name text',
    'description? text',
    'category? text',
    'unit? text',
    'stock',
    'min_stock',
    'price? decimal',
    'updated_at timestamp',
  ]),
  sourceTable('audit_logs', [
    'id',
    'user_id?',
    'action text',
    'entity? text',
    'entity_id?',
    'details? json',
    'created_at timestamp',
  ]),
  sourceTable('users', ['id', 'name text', 'password text']),
);

/** The schema with a table changed, or without it. */
export function altered(
  schema: SourceSchema,
  name: string,
  change?: (table: SourceTable) => SourceTable,
): SourceSchema {
  const tables = new Map(schema);
  const table = tables.get(name)!;
  if (change) tables.set(name, change(table));
  else tables.delete(name);
  return tables;
}

export const without =
  (...columns: readonly string[]) =>
  (table: SourceTable): SourceTable => ({
    ...table,
    columns: table.columns.filter(({ name }) => !columns.includes(name)),
  });

export const committedAtMs = Date.parse('2026-03-07T15:30:00.000Z');
export const commitTime = '2026-03-07T15:30:00.000Z';
export const timeZone = 'America/Santo_Domingo';

/** Reads rules from text, as from a file `rules.yaml`. */
export function rulesFrom(yaml: string): RuleFile {
  const folder = mkdtempSync(join(tmpdir(), 'rules-'));
  try {
    const file = join(folder, 'rules.yaml');
    writeFileSync(file, yaml);
    return readRules(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function compile(yaml: string, schema: SourceSchema): Rules {
  return compileRules(rulesFrom(yaml), { schema, timeZone });
}

export function compileBuiltIn(schema: SourceSchema = ontology): Rules {
  return compileRules(readRules(builtInRulesFile), { schema, timeZone });
}

/** A table as the reader would describe it to these rules: only the columns that they watch, and the key. */
export function layoutOf(table: SourceTable, { watch }: Pick<Rules, 'watch'>): TableSchema {
  const watched = watch.get(table.name.toLowerCase());
  const kept = table.columns.filter(
    ({ name }) => watched?.has(name.toLowerCase()) || table.key.includes(name),
  );
  const columns = kept.map(({ name, kind }) => ({ name, kind }));
  const indexOf = new Map(columns.map(({ name }, index) => [name.toLowerCase(), index]));
  return {
    schema: 'clinic',
    name: table.name,
    columns,
    key: table.key.map((name) => indexOf.get(name)!),
    indexOf,
  };
}

export type Cells = Readonly<Record<string, Cell>>;

/** Statements on one table, as the row events that the reader would make of them. */
export interface Statements {
  insert(after: Cells): RowEvent;
  /** `changed` holds only what the statement sets. */
  update(before: Cells, changed: Cells): RowEvent;
  remove(before: Cells): RowEvent;
  /** With the images exactly as given: what is not named is absent. */
  partial(op: RowEvent['op'], before: Cells | null, after: Cells | null): RowEvent;
}

export function statementsOn(schema: SourceSchema, name: string, rules: Rules): Statements {
  const table = layoutOf(schema.get(name)!, rules);
  const image = (cells: Cells): Row => table.columns.map((column) => cells[column.name] ?? null);
  const sparse = (cells: Cells): Row => table.columns.map((column) => cells[column.name]);
  return {
    insert: (after) => ({ table, op: 'insert', before: null, after: image(after) }),
    update: (before, changed) => ({
      table,
      op: 'update',
      before: image(before),
      after: image({ ...before, ...changed }),
    }),
    remove: (before) => ({ table, op: 'delete', before: image(before), after: null }),
    partial: (op, before, after) => ({
      table,
      op,
      before: before && sparse(before),
      after: after && sparse(after),
    }),
  };
}

export const lineage = '3e11fa47-71ca-11e1-9e33-c80aa9429562';

export type Tables = Readonly<Record<string, readonly Cells[]>>;

/** A source that holds these rows, and notes every question. */
export function sourceHolding(tables: Tables): { resolve: MapContext['resolve']; asked: Lookup[] } {
  const asked: Lookup[] = [];
  const resolve = (lookup: Lookup): Promise<LookupRows> => {
    asked.push(lookup);
    const found = (tables[lookup.table] ?? []).filter((row) =>
      Object.entries(lookup.by).every(([column, value]) => String(row[column]) === String(value)),
    );
    const rows = found.map((row) =>
      Object.fromEntries(lookup.select.map((column) => [column.toLowerCase(), row[column] ?? null])),
    );
    return Promise.resolve(lookup.many ? rows : rows.slice(0, 1));
  };
  return { resolve, asked };
}

/** Maps one transaction. */
export function transact(
  rules: Rules,
  rows: readonly RowEvent[],
  context: Partial<MapContext> = {},
): Promise<DomainEvent[]> {
  return rules.map(netChanges(rows), {
    lineage,
    transactionId: `${lineage}:23`,
    committedAtMs,
    resolve: sourceHolding({}).resolve,
    ...context,
  });
}

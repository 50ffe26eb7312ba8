import type { Store } from '../connection/client.ts';
import type { SchemaDifference } from './schema-difference.ts';
import { tableNames, toTokens } from './definitions.ts';

export interface LiveColumn {
  type: string;
  collation: string | null;
  isNullable: boolean;
  isAutoIncrement: boolean;
  isInvisible: boolean;
  /** Whether a row that does not name the column gets a value. */
  hasDefault: boolean;
  /** Default or formula, as `toTokens` writes it; null for NULL or nothing. */
  value: string | null;
}

export interface LiveIndex {
  isUnique: boolean;
  /** MySQL's invisible and MariaDB's ignored indexes are not used. */
  isUsed: boolean;
  /** Columns, each with its prefix length if it has one. */
  parts: string[];
  text: string;
}

export interface LiveTable {
  /** `BASE TABLE`, `VIEW` or MariaDB's `SYSTEM VERSIONED`. */
  type: string;
  engine: string | null;
  isPartitioned: boolean;
  columns: Map<string, LiveColumn>;
  indexes: Map<string, LiveIndex>;
}

/** The contents of information_schema for the store's schema. */
export interface LiveTables {
  isMariaDb: boolean;
  tables: Map<string, LiveTable>;
  /** Objects that the migrations never create: triggers, scheduled events, foreign keys, checks, routines. */
  added: SchemaDifference[];
}

export async function readLiveTables(store: Store): Promise<LiveTables> {
  const [server] = await store.rows<{ version: string }>('SELECT VERSION() AS version');
  const isMariaDb = /mariadb/i.test(server!.version);
  const tables = await readTables(store);
  await readColumns(store, tables);
  await readIndexes(store, { tables, isMariaDb });
  return { isMariaDb, tables, added: await readAdded(store, { tables, isMariaDb }) };
}

async function readTables(store: Store): Promise<Map<string, LiveTable>> {
  const rows = await store.rows<{
    name: string;
    type: string;
    engine: string | null;
    options: string | null;
  }>(
    `SELECT TABLE_NAME AS name, TABLE_TYPE AS type, ENGINE AS engine, CREATE_OPTIONS AS options
     FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?`,
    [store.database],
  );
  return new Map(
    rows.map(({ name, type, engine, options }) => [
      name,
      {
        ...{ type, engine, isPartitioned: /\bpartitioned\b/i.test(options ?? '') },
        columns: new Map<string, LiveColumn>(),
        indexes: new Map<string, LiveIndex>(),
      },
    ]),
  );
}

interface PrintedColumn {
  table: string;
  name: string;
  type: string;
  collation: string | null;
  nullable: string;
  value: string | null;
  extra: string;
  formula: string | null;
}

async function readColumns(store: Store, tables: Map<string, LiveTable>): Promise<void> {
  const rows = await store.rows<PrintedColumn>(
    `SELECT TABLE_NAME AS \`table\`, COLUMN_NAME AS name, COLUMN_TYPE AS type, COLLATION_NAME AS collation, IS_NULLABLE AS nullable,
       COLUMN_DEFAULT AS value, EXTRA AS extra, GENERATION_EXPRESSION AS formula
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION`,
    [store.database],
  );
  for (const { table, name, type, collation, nullable, ...rest } of rows) {
    tables.get(table)?.columns.set(name, {
      ...{ type, collation, isNullable: nullable === 'YES' },
      isAutoIncrement: /auto_increment/i.test(rest.extra),
      isInvisible: /invisible/i.test(rest.extra),
      hasDefault: rest.value !== null || Boolean(rest.formula),
      value: toValue(rest),
    });
  }
}

/**
 * Normalizes the default or formula of a column. MariaDB prints a default as SQL (`'open'`, `NULL`), MySQL prints its value; of the other
 * text in `EXTRA` (`DEFAULT_GENERATED` on MySQL since 8.0.13) only ON UPDATE is part of it.
 * @internal
 */
export function toValue({
  value,
  extra,
  formula,
}: Pick<PrintedColumn, 'value' | 'extra' | 'formula'>): string | null {
  if (formula) return toTokens(formula);
  const onUpdate = /on update \S+/i.exec(extra)?.[0] ?? '';
  if (value === null || value === 'NULL') return onUpdate === '' ? null : toTokens(onUpdate);
  return toTokens(`${value.replace(/^'(.*)'$/s, '$1')} ${onUpdate}`);
}

interface PrintedPart {
  table: string;
  name: string;
  part: string;
  nonUnique: number;
  used: string;
}

async function readIndexes(
  store: Store,
  { tables, isMariaDb }: Pick<LiveTables, 'tables' | 'isMariaDb'>,
): Promise<void> {
  const used = isMariaDb ? "IF(IGNORED = 'YES', 'NO', 'YES')" : 'IS_VISIBLE';
  const column = isMariaDb ? 'COLUMN_NAME' : "COALESCE(COLUMN_NAME, 'an expression')";
  const rows = await store.rows<PrintedPart>(
    `SELECT TABLE_NAME AS \`table\`, INDEX_NAME AS name, NON_UNIQUE AS nonUnique, ${used} AS used,
       CONCAT(${column}, IF(SUB_PART IS NULL, '', CONCAT('(', SUB_PART, ')')), IF(COLLATION = 'D', ' DESC', '')) AS part
     FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`,
    [store.database],
  );
  for (const { table, name, part, nonUnique, used: isUsed } of rows) {
    const indexes = tables.get(table)?.indexes;
    const parts = [...(indexes?.get(name)?.parts ?? []), part];
    const unique = nonUnique === 0;
    const text = `${unique ? 'unique' : 'not unique'}, on ${parts.join(', ')}${isUsed === 'YES' ? '' : ', not used by queries'}`;
    indexes?.set(name, { isUnique: unique, isUsed: isUsed === 'YES', parts, text });
  }
}

/** Each SELECT returns a name and its place. */
const additions = {
  trigger: `SELECT TRIGGER_NAME AS name, EVENT_OBJECT_TABLE AS place FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ?`,
  event:
    'SELECT EVENT_NAME AS name, EVENT_DEFINITION AS place FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?',
  foreignKey: `SELECT DISTINCT CONSTRAINT_NAME AS name, CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) AS place, TABLE_NAME AS \`table\`,
      REFERENCED_TABLE_NAME AS parent
    FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL AND (TABLE_SCHEMA = ? OR REFERENCED_TABLE_SCHEMA = ?)`,
  check: `SELECT c.CONSTRAINT_NAME AS name, t.TABLE_NAME AS place FROM information_schema.CHECK_CONSTRAINTS c
    JOIN information_schema.TABLE_CONSTRAINTS t ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME
    WHERE c.CONSTRAINT_SCHEMA = ? AND t.CONSTRAINT_TYPE = 'CHECK'`,
  // Names are unique per table, unlike on MySQL. MariaDB creates a check for each JSON column by itself.
  checkOnMariaDb: `SELECT CONSTRAINT_NAME AS name, TABLE_NAME AS place FROM information_schema.CHECK_CONSTRAINTS
    WHERE CONSTRAINT_SCHEMA = ? AND CHECK_CLAUSE <> CONCAT('json_valid(\`', CONSTRAINT_NAME, '\`)')`,
  routine: `SELECT ROUTINE_NAME AS name, ROUTINE_TYPE AS place FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?`,
} as const;

interface Added {
  name: string;
  /** The table, the type of a routine, or the text of an event. */
  place: string;
  /** Table of a foreign key. */
  table?: string;
  parent?: string;
}

type Addition = Pick<SchemaDifference, 'level' | 'message' | 'remedy'>;

/** Returns undefined if it does not concern our tables: the application may share the schema. */
function describe(
  kind: keyof typeof additions,
  { name, place, table = '', parent = '' }: Added,
  { own, isShared }: { own: ReadonlySet<string>; isShared: boolean },
): Addition | undefined {
  switch (kind) {
    case 'trigger':
      return {
        // A trigger of another table may write to ours.
        ...{
          level: own.has(place) ? 'refuse' : 'fail',
          message: `the table ${place} has a trigger, ${name}`,
        },
        remedy: `DROP TRIGGER \`${name}\`;`,
      };
    case 'event':
      return {
        level:
          isShared &&
          !toTokens(place)
            .split(' ')
            .some((token) => own.has(token))
            ? 'fail'
            : 'refuse',
        message: `the schema of the store has a scheduled event, ${name}`,
        remedy: `DROP EVENT \`${name}\`;`,
      };
    case 'foreignKey':
      if (!own.has(table) && !own.has(parent)) return undefined;
      return {
        ...{ level: 'refuse', message: `the table ${place} has a foreign key, ${name}` },
        remedy: `ALTER TABLE ${place} DROP FOREIGN KEY \`${name}\`;`,
      };
    case 'check':
    case 'checkOnMariaDb':
      if (!own.has(place)) return undefined;
      return {
        ...{ level: 'refuse', message: `the table ${place} has a check, ${name}` },
        remedy: `ALTER TABLE \`${place}\` DROP CONSTRAINT \`${name}\`;`,
      };
    case 'routine':
      return {
        ...{ level: 'warn', message: `the schema of the store has a routine, ${name}` },
        remedy: `DROP ${place} \`${name}\`;`,
      };
  }
}

/** Tables that the migrations create besides those of schema.ts. */
const ofMigrations = ['__drizzle_migrations', 'migration_progress'];

async function readAdded(
  store: Store,
  { tables, isMariaDb }: Pick<LiveTables, 'tables' | 'isMariaDb'>,
): Promise<SchemaDifference[]> {
  const own = new Set(tableNames);
  const isOther = ([name, { type }]: [string, LiveTable]): boolean =>
    type !== 'VIEW' && !own.has(name) && !ofMigrations.includes(name);
  const isShared = [...tables].some(isOther);
  const found: SchemaDifference[] = [];
  const check = isMariaDb ? 'checkOnMariaDb' : 'check';
  for (const kind of ['trigger', 'event', 'foreignKey', check, 'routine'] as const) {
    const rows = await store.rows<Added>(additions[kind], [store.database, store.database]);
    const described = rows.map((row) => describe(kind, row, { own, isShared }));
    found.push(...described.flatMap((each) => (each ? [{ kind: 'inserted' as const, ...each }] : [])));
  }
  return found;
}

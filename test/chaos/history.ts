import type { Connection, RowDataPacket } from 'mysql2/promise';

/** Watched tables with the columns whose transitions are recorded, the key first. The workload changes no others. */
export const tables = {
  patients: ['id', 'first_name', 'phone', 'status'],
  appointments: ['id', 'notes', 'status'],
  payments: ['id', 'notes', 'amount', 'status'],
  budgets: ['id', 'notes', 'total_amount', 'status'],
  medical_records: ['id', 'diagnosis'],
  consents: ['id', 'procedure_name', 'status'],
  inventory: ['id', 'name', 'stock', 'min_stock'],
  audit_logs: ['id', 'entity', 'action'],
} as const satisfies Record<string, readonly [string, ...string[]]>;

export type TableName = keyof typeof tables;
export const tableNames = Object.keys(tables) as TableName[];

/** Values as text, aligned with the table's columns. */
export type Image = readonly (string | null)[];

/** One row as one statement changed it, as the trigger saw it. */
export interface RecordedRow {
  seq: number;
  /** The transaction, by the name that its writer gave it. */
  transaction: string;
  table: TableName;
  before: Image | null;
  after: Image | null;
}

/** What one transaction made of one row: what must be delivered. */
export interface Transition {
  transaction: string;
  table: TableName;
  /** The entity that the event belongs to. */
  key: string;
  before: Image | null;
  after: Image | null;
}

/**
 * Makes the history: an append-only table that triggers fill within the writer's own transaction, so it holds exactly what was
 * committed. A row's lock is held from its change to the commit: for one key, `seq` is the order of commits.
 */
export async function installHistory(connection: Connection): Promise<void> {
  await connection.query(`CREATE TABLE chaos_history (
    seq BIGINT AUTO_INCREMENT PRIMARY KEY, transaction_name VARCHAR(40) NOT NULL, table_name VARCHAR(40) NOT NULL,
    before_image LONGTEXT, after_image LONGTEXT
  ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4`);
  for (const table of tableNames) {
    for (const [op, before, after] of [
      ['INSERT', 'NULL', image(table, 'NEW')],
      ['UPDATE', image(table, 'OLD'), image(table, 'NEW')],
      ['DELETE', image(table, 'OLD'), 'NULL'],
    ] as const) {
      await connection.query(
        `CREATE TRIGGER chaos_${table}_${op} AFTER ${op} ON ${table} FOR EACH ROW
         INSERT INTO chaos_history (transaction_name, table_name, before_image, after_image)
         VALUES (@chaos_transaction, '${table}', ${before}, ${after})`,
      );
    }
  }
}

function image(table: TableName, row: 'OLD' | 'NEW'): string {
  return `JSON_ARRAY(${tables[table].map((column) => `CAST(${row}.${column} AS CHAR)`).join(', ')})`;
}

export async function readHistory(connection: Connection): Promise<RecordedRow[]> {
  const [rows] = await connection.query<RowDataPacket[]>('SELECT * FROM chaos_history ORDER BY seq');
  return rows.map((row) => ({
    seq: Number(row['seq']),
    transaction: String(row['transaction_name']),
    table: row['table_name'] as TableName,
    before: parseImage(row['before_image'] as string | null),
    after: parseImage(row['after_image'] as string | null),
  }));
}

function parseImage(text: string | null): Image | null {
  return text === null ? null : (JSON.parse(text) as Image);
}

/** A row within its transaction. */
interface Net extends Transition {
  /** A moment at which the transaction held the lock of `key`. */
  lockedAt: number;
  firstSeq: number;
}

/**
 * What each transaction made of each row, for each entity in the order of commits: a plain second telling of the rules that
 * `src/change/net-changes.ts` implements, for tables with a key of one column.
 */
export function netTransitions(history: readonly RecordedRow[]): Transition[] {
  const nets: Net[] = [];
  for (const rows of Map.groupBy(history, ({ transaction }) => transaction).values()) {
    nets.push(...netOfTransaction(rows));
  }
  // Two transactions that meet at a key hold its lock one after the other; one transaction's own rows come as it began them.
  const lockedAt = new Map<string, number>();
  const meeting = ({ transaction, table, key }: Net): string => `${transaction}/${table}/${key}`;
  for (const net of nets) {
    lockedAt.set(meeting(net), Math.max(lockedAt.get(meeting(net)) ?? 0, net.lockedAt));
  }
  const rank = (net: Net): number => lockedAt.get(meeting(net))!;
  return nets.sort((a, b) => rank(a) - rank(b) || a.firstSeq - b.firstSeq);
}

/** A change of key is a DELETE of the old key and an INSERT of the new one. */
function splitKeyChange(row: RecordedRow): RecordedRow[] {
  const { before, after } = row;
  if (!before || !after || before[0] === after[0]) return [row];
  return [
    { ...row, after: null },
    { ...row, before: null },
  ];
}

function netOfTransaction(rows: readonly RecordedRow[]): Net[] {
  const nets: Net[] = [];
  const live = new Map<string, Net>();
  const deleted = new Map<string, Net>();
  for (const { seq, transaction, table, before, after } of rows.flatMap(splitKeyChange)) {
    const from = before && `${table}/${before[0]}`;
    const to = after && `${table}/${after[0]}`;
    let net = (from === null ? undefined : live.get(from)) ?? (from === null ? deleted.get(to!) : undefined);
    if (from !== null) live.delete(from);
    else deleted.delete(to!);
    if (!net) {
      net = { transaction, table, key: '', before, after, lockedAt: seq, firstSeq: seq };
      nets.push(net);
    }
    net.after = after;
    if (to !== null) {
      live.set(to, net);
      net.lockedAt = seq;
    } else if (net.before) {
      deleted.set(`${table}/${net.before[0]}`, net);
      net.lockedAt = net.firstSeq;
    }
  }
  for (const net of nets) net.key = (net.after ?? net.before)?.[0] ?? '';
  return nets.filter(({ before, after }) => JSON.stringify(before) !== JSON.stringify(after));
}

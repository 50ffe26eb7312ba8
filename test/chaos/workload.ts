import { createConnection, type Connection } from 'mysql2/promise';
import { sleep } from '../../src/lib/clock.ts';
import { tableNames, tables, type TableName } from './history.ts';
import type { Random } from './random.ts';

/** Keys that writers choose from: few enough that they meet. */
const firstKey = 1_000;
const keys = 150;
const statuses: Partial<Record<TableName, readonly string[]>> = {
  patients: ['active', 'inactive', 'on_hold'],
  appointments: ['scheduled', 'confirmed', 'waiting', 'completed', 'cancelled'],
  payments: ['completed', 'refunded'],
  budgets: ['draft', 'pending', 'approved', 'rejected', 'completed'],
  consents: ['pending', 'signed', 'revoked'],
};
/** What an INSERT needs besides the recorded columns. Parents are the seed's rows, which are never deleted: no cascades. */
const fixed: Partial<Record<TableName, Readonly<Record<string, string | number>>>> = {
  patients: { last_name: 'Ñáñez', branch_id: 1 },
  appointments: {
    patient_id: 1,
    doctor_id: 1,
    branch_id: 1,
    appointment_date: '2026-03-07',
    appointment_time: '09:30:00',
  },
  payments: { patient_id: 2 },
  budgets: { patient_id: 3, doctor_id: 1 },
  medical_records: { patient_id: 4, doctor_id: 2 },
  consents: { patient_id: 5 },
  inventory: { category: 'caos', unit: 'u' },
};
/** Beyond what capture holds in memory (8 MiB of log): 300 rows of 20 kB, each deleted and inserted again. */
const fat = { firstKey: 5_000, rows: 300, bytes: 20_000 };

export interface WorkloadOptions {
  /** mysql URL of the clinic, straight to the server. */
  url: string;
  random: Random;
  name: string;
  /** Mean pause between two transactions. */
  paceMs: number;
  /** Resolves when there is room for more: the delivery must keep up on average. */
  room(): Promise<void>;
}

export interface WorkloadCounts {
  committed: number;
  rolledBack: number;
  /** Ended by an error: a deadlock, a key that exists, a server that is gone. */
  failed: number;
}

/** One connection's random transactions, one after the other, until the signal aborts. Never throws for what the faults do. */
export async function write(options: WorkloadOptions, signal: AbortSignal): Promise<WorkloadCounts> {
  const counts: WorkloadCounts = { committed: 0, rolledBack: 0, failed: 0 };
  const { random, name, paceMs } = options;
  let connection: Connection | undefined;
  for (let number = 1; !signal.aborted; number += 1) {
    await options.room();
    try {
      connection ??= await open(options.url);
      const transaction = new Transaction(connection, random, `${name}-${number}`);
      counts[await transaction.run()] += 1;
    } catch {
      counts.failed += 1;
      if (!(await rollBack(connection))) connection = undefined;
    }
    await sleep(random.below(2 * paceMs), signal);
  }
  await connection?.end().catch(() => undefined);
  return counts;
}

async function open(url: string): Promise<Connection> {
  const connection = await createConnection({ uri: url, charset: 'utf8mb4', connectTimeout: 2_000 });
  connection.on('error', () => undefined);
  return connection;
}

/** False when the connection is of no more use. */
async function rollBack(connection: Connection | undefined): Promise<boolean> {
  try {
    await connection?.query('ROLLBACK');
    return connection !== undefined;
  } catch {
    connection?.destroy();
    return false;
  }
}

type ChangeKind = 'insert' | 'update' | 'rekey' | 'delete' | 'bulk' | 'twice' | 'replace';
/** What a statement that commits by itself may do. */
const singles: readonly ChangeKind[] = ['insert', 'insert', 'update', 'update', 'rekey', 'delete', 'bulk'];
const all: readonly ChangeKind[] = [...singles, 'twice', 'replace'];

class Transaction {
  readonly #connection: Connection;
  readonly #random: Random;
  readonly #name: string;
  #writes = 0;

  constructor(connection: Connection, random: Random, name: string) {
    this.#connection = connection;
    this.#random = random;
    this.#name = name;
  }

  async run(): Promise<'committed' | 'rolledBack'> {
    await this.#query('SET @chaos_transaction = ?', [this.#name]);
    const dice = this.#random.next();
    if (dice < 0.004) return this.#many(() => this.#replaceFat());
    if (dice < 0.06) return this.#procedure();
    if (dice < 0.6) {
      await this.#change(singles);
      return 'committed';
    }
    const changes = 2 + this.#random.below(6);
    return this.#many(async () => {
      for (let i = 0; i < changes; i += 1) await this.#change(all);
    });
  }

  async #many(work: () => Promise<void>): Promise<'committed' | 'rolledBack'> {
    await this.#query('START TRANSACTION');
    await work();
    const keep = this.#random.chance(0.85);
    await this.#query(keep ? 'COMMIT' : 'ROLLBACK');
    return keep ? 'committed' : 'rolledBack';
  }

  /** As the application itself does it: with a transaction inside the procedure, an INSERT and an UPDATE of the same row in it. */
  async #procedure(): Promise<'committed'> {
    await this.#query('CALL sp_create_budget(3, 1, \'[{"service_id": 2, "quantity": 2}]\', ?)', [
      this.#token(),
    ]);
    return 'committed';
  }

  async #change(kinds: readonly ChangeKind[]): Promise<void> {
    const table = this.#random.pick(tableNames);
    const key = this.#key();
    switch (this.#random.pick(kinds)) {
      case 'insert':
        return this.#insert(table, key);
      case 'update':
        return this.#update(table, 'id = ?', [key]);
      case 'twice':
        await this.#insert(table, key);
        return this.#update(table, 'id = ?', [key]);
      case 'rekey':
        return this.#query(`UPDATE ${table} SET id = ? WHERE id = ?`, [this.#key(), key]);
      case 'delete':
        return this.#query(`DELETE FROM ${table} WHERE id = ?`, [key]);
      case 'replace':
        await this.#query(`DELETE FROM ${table} WHERE id = ?`, [key]);
        return this.#insert(table, key);
      case 'bulk':
        return this.#update(table, 'id BETWEEN ? AND ?', [key, key + this.#random.below(30)]);
    }
  }

  #insert(table: TableName, key: number): Promise<void> {
    const values = { ...fixed[table], ...this.#values(table), id: key };
    return this.#query(`INSERT INTO ${table} SET ?`, [values]);
  }

  #update(table: TableName, where: string, bounds: readonly number[]): Promise<void> {
    return this.#query(`UPDATE ${table} SET ? WHERE ${where}`, [this.#values(table), ...bounds]);
  }

  /** New values for some of the recorded columns; the text among them is like no other. */
  #values(table: TableName): Record<string, string | number> {
    const values: Record<string, string | number> = { [tables[table][1]]: this.#token() };
    const status = statuses[table];
    if (status && this.#random.chance(0.7)) values['status'] = this.#random.pick(status);
    if (table === 'patients') values['phone'] = `809-${this.#random.below(10_000)}`;
    if (table === 'payments')
      values['amount'] = `${this.#random.below(1_000)}.${10 + this.#random.below(90)}`;
    if (table === 'audit_logs') values['action'] = this.#random.pick(['reminder_sent', 'login']);
    if (table === 'inventory') {
      values['stock'] = this.#random.below(20);
      values['min_stock'] = 10;
    }
    return values;
  }

  async #replaceFat(): Promise<void> {
    await this.#query('DELETE FROM inventory WHERE id >= ?', [fat.firstKey]);
    await this.#query(
      `INSERT INTO inventory (id, name, description, stock, min_stock)
       WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
       SELECT ? + i, CONCAT(?, '-', i), REPEAT('x', ?), i, 150 FROM n`,
      [fat.rows, fat.firstKey, this.#token(), fat.bytes],
    );
  }

  #key(): number {
    return firstKey + this.#random.below(keys);
  }

  #token(): string {
    this.#writes += 1;
    return `${this.#name}.${this.#writes} ñ🦷`;
  }

  async #query(sql: string, values: readonly unknown[] = []): Promise<void> {
    await this.#connection.query({ sql, values: [...values], timeout: 20_000 });
  }
}

import { createConnection } from 'mysql2/promise';
import { currentPosition } from '../../src/binlog/source/log-file.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import type { Position } from '../../src/binlog/types.ts';
import { loadClinic } from '../../src/demo/clinic.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import type { Bench, BenchSchema } from './measure.ts';

/** A stretch of binlog, in a file that begins with the stretch. */
export interface Stretch {
  /** The clinic's schema. */
  url: string;
  schema: string;
  from: Position;
  /** Rows of watched tables in it; each row is one event. */
  rows: number;
  transactions: number;
}

/** Creates a clinic with `appointments` scheduled appointments (from id 1,000 on) that are not confirmed yet. */
export async function createClinic(bench: Bench, appointments = 0): Promise<BenchSchema> {
  const schema = await bench.schema('clinic');
  const connection = await createConnection(schema.url);
  await loadClinic(connection);
  await connection.query(`CREATE TABLE activity (id INT AUTO_INCREMENT PRIMARY KEY, user_id INT, page VARCHAR(100), details TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)`);
  await connection.query(`CREATE TABLE numbers (n INT PRIMARY KEY) SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS n
    FROM ${'abcef'
      .split('')
      .map((name) => `(${digits}) ${name}`)
      .join(' CROSS JOIN ')}`);
  for (let first = 0; first < appointments; first += 100_000) {
    await connection.query(
      `INSERT INTO appointments (id, patient_id, doctor_id, branch_id, appointment_date, appointment_time, notes)
       SELECT 1000 + ${first} + n, 1 + n % 3, 1, 1, '2026-05-04', '10:30:00', CONCAT('primera visita, ', n) FROM numbers
       WHERE n < ${Math.min(100_000, appointments - first)}`,
    );
  }
  await connection.end();
  return schema;
}

const digits =
  'SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9';

const onePayment =
  "INSERT INTO payments (patient_id, amount, payment_method, notes, processed_by) VALUES (1, 1500.50, 'transfer', CONCAT('cuota ', i, ', recepción'), 1)";
const oneConfirmation = "UPDATE appointments SET status = 'confirmed' WHERE id = 1000 + i";

/** The statements of one round of a procedure, where `i` is its number; each statement commits alone unless it opens a transaction. */
const work = {
  unwatched: `INSERT INTO activity (user_id, page, details) VALUES (1, '/appointments', CONCAT('consulta ', i))`,
  single: `${onePayment}; ${oneConfirmation}`,
  hundreds: `START TRANSACTION;
    INSERT INTO payments (patient_id, amount, payment_method, notes, processed_by)
      SELECT 1, 1500.50, 'transfer', CONCAT('cuota ', i * 50 + n, ', recepción'), 1 FROM numbers WHERE n < 50;
    UPDATE appointments SET status = 'confirmed' WHERE id >= 1000 + i * 50 AND id < 1050 + i * 50;
    COMMIT`,
} as const;

const perRound = {
  unwatched: { rows: 0, transactions: 1 },
  single: { rows: 2, transactions: 2 },
  hundreds: { rows: 100, transactions: 1 },
} as const;

/** The note of the payment that ends every stretch. */
export const lastNote = 'el último';

/** Fills a new binlog file with rounds of one kind of work; durability is off meanwhile, because only the binlog's content matters. */
export async function writeStretch(
  bench: Bench,
  schema: BenchSchema,
  { kind, rounds }: { kind: keyof typeof work; rounds: number },
): Promise<Stretch> {
  const connection = await createConnection({ uri: schema.url, multipleStatements: true });
  await connection.query(`DROP PROCEDURE IF EXISTS fill`);
  await connection.query(`CREATE PROCEDURE fill(rounds INT) BEGIN DECLARE i INT DEFAULT 0;
    WHILE i < rounds DO ${work[kind]}; SET i = i + 1; END WHILE; END`);
  await connection.query('SET GLOBAL sync_binlog = 0; SET GLOBAL innodb_flush_log_at_trx_commit = 2');
  await connection.query('FLUSH BINARY LOGS');
  const from = await endOfLog(schema.url);
  await connection.query(`CALL fill(${rounds})`);
  // An end that every reader sees, even if it skips the other rows.
  await connection.query(`INSERT INTO payments (patient_id, amount, notes) VALUES (1, 1.00, '${lastNote}')`);
  await connection.query('SET GLOBAL sync_binlog = 1; SET GLOBAL innodb_flush_log_at_trx_commit = 1');
  await connection.end();
  const each = perRound[kind];
  return {
    url: schema.url,
    schema: schema.name,
    from,
    rows: rounds * each.rows + 1,
    transactions: rounds * each.transactions + 1,
  };
}

async function endOfLog(url: string): Promise<Position> {
  const source = openSource(parseDatabaseUrl(url));
  try {
    return (await currentPosition(source, await source.identify()))!;
  } finally {
    await source.close();
  }
}

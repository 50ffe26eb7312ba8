import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { testSecret } from '../support/receiver.ts';
import { createSchema, flavours, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

/** `npm run test:huge` does a million. */
const rows = Number(process.env['HUGE_ROWS'] ?? 100_000);
const timeoutMs = 120_000 + rows;
const memoryKiB = 256 * 1024;

/** Each is one transaction that leaves one event a row; `setUp` comes before the daemon. */
const transactions = [
  { name: 'inserts', setUp: [], sql: [insert(rows)] },
  // The worst for what must be remembered of a row: where it was, when its key changes. The first run compares the INSERTs with zongji.
  {
    name: 'changes of key',
    setUp: [insert(rows, 100)],
    sql: ['UPDATE inventory SET id = id + 10000000, stock = 0 WHERE id >= 1000 ORDER BY id'],
  },
];

function insert(count: number, stock = 0): string {
  const digits =
    '(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)';
  const sources = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${digits} ${name}`).join(' CROSS JOIN ');
  return `INSERT INTO inventory (id, name, category, unit, stock, min_stock, price)
    SELECT 1000 + n, CONCAT('artículo ', n), 'Materiales', 'u', ${stock}, 5, 1.00
    FROM (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d + 100000 * f.d AS n FROM ${sources}) numbers
    WHERE n < ${count}`;
}

describe.each(flavours)('a transaction of many rows, on %s', (flavour) => {
  // Of its own: a row of 65 MB that another test writes would pass through the daemon whose memory is measured.
  let server: PrivateServer;
  let clinic: TestSchema;
  let storeName: string;
  let daemon: DaemonProcess;

  beforeAll(async () => {
    server = await startPrivateServer({ flavour });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    storeName = `store_${randomBytes(5).toString('hex')}`;
  });
  afterEach(async () => {
    await daemon.kill();
    await clinic.query(`DROP DATABASE IF EXISTS ${storeName}`);
    await clinic.drop();
  });

  /** The webhook's endpoint refuses connections: what is measured is capture. */
  async function start(): Promise<void> {
    daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: `${server.url}/${storeName}`,
      yaml: `
webhooks: [{ name: all, url: "http://127.0.0.1:9/", events: ["*"], secret: ${testSecret} }]
delivery: { allow_http: true, allow_private_networks: ["127.0.0.1/32"], allowed_ports: [9], retry_schedule: [1h] }
`,
    });
  }

  async function visible(): Promise<{ events: number; deliveries: number }> {
    const [row] = await clinic.query(
      `SELECT (SELECT COUNT(*) FROM ${storeName}.events) AS events,
              (SELECT COUNT(*) FROM ${storeName}.webhook_deliveries) AS deliveries`,
    );
    return { events: Number(row!['events']), deliveries: Number(row!['deliveries']) };
  }

  const staged = async (): Promise<number> =>
    Number((await clinic.query(`SELECT COUNT(*) AS n FROM ${storeName}.event_log`))[0]!['n']);

  /** Looks until everything is visible, and never sees a part of it. */
  async function untilVisible(): Promise<void> {
    await waitFor(
      async () => {
        const seen = await visible();
        if (seen.events !== 0) expect(seen).toEqual({ events: rows, deliveries: rows });
        return seen.events === rows;
      },
      { timeoutMs, everyMs: 250, what: 'the whole transaction' },
    );
  }

  async function peakKiB(): Promise<number> {
    const status = await readFile(`/proc/${daemon.pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]);
  }

  async function perform(sql: readonly string[]): Promise<void> {
    const writer = await clinic.connect();
    await writer.query('START TRANSACTION');
    for (const statement of sql) await writer.query(statement);
    await writer.query('COMMIT');
  }

  it.each(transactions)(
    'passes whole, in bounded memory: $name',
    { timeout: 2 * timeoutMs },
    async ({ setUp, sql }) => {
      for (const statement of setUp) await clinic.query(statement);
      await start();
      await daemon.untilReady();
      await perform(sql);
      await untilVisible();
      expect(await peakKiB()).toBeLessThan(memoryKiB);
      // The next transaction comes after it, as ever.
      await clinic.query('UPDATE inventory SET stock = 3 WHERE id = 3');
      await waitFor(async () => (await visible()).deliveries === rows + 1, {
        timeoutMs,
        what: 'the next event',
      });
      expect(await peakKiB()).toBeLessThan(memoryKiB);
    },
  );

  it('is all or nothing when the daemon is killed in the middle', { timeout: 2 * timeoutMs }, async () => {
    await start();
    await daemon.untilReady();
    await perform([insert(rows)]);
    await waitFor(async () => (await staged()) > rows / 4, { timeoutMs, what: 'some staged events' });
    await daemon.kill();
    expect(await staged()).toBeLessThan(rows);
    expect(await visible()).toEqual({ events: 0, deliveries: 0 });
    // It is not ready before it has read all that there is.
    await start();
    await untilVisible();
    expect(await staged()).toBe(rows);
    expect(await peakKiB()).toBeLessThan(memoryKiB);
  });

  it('finds the rows of a parent that stand far behind it', { timeout: 2 * timeoutMs }, async () => {
    await start();
    await daemon.untilReady();
    await perform([
      'INSERT INTO budgets (id, patient_id, doctor_id) VALUES (9000, 1, 1)',
      // More than is held in memory, and more than is mapped together.
      insert(40_000, 100),
      'INSERT INTO budget_items (budget_id, service_id, quantity, unit_price, subtotal) VALUES (9000, 1, 1, 10.00, 10.00), (9000, 2, 3, 20.50, 61.50)',
      'UPDATE budgets SET total_amount = 71.50 WHERE id = 9000',
    ]);
    const payload = await waitFor(
      async () =>
        (await clinic.query(`SELECT payload FROM ${storeName}.events WHERE type = 'budget.created'`))[0]?.[
          'payload'
        ],
      { timeoutMs, what: 'the budget' },
    );
    expect(JSON.parse(payload as string)).toMatchObject({
      data: {
        budget_id: 9000,
        total_amount: 71.5,
        items: [
          { service_id: 1, quantity: 1 },
          { service_id: 2, quantity: 3 },
        ],
      },
    });
  });
});

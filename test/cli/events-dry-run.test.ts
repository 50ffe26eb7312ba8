import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import type { DryRunReport } from '../../src/capture/dry-run/dry-run-report.ts';
import { runCli, startDaemonProcess, type CliResult, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const presentRules = `
events:
  patient.created: { table: patients, on: insert, data: { patient_id: id, first_name: first_name } }
  payment.received: { table: payments, on: insert, data: { payment_id: id, amount: amount } }
  item.touched: { table: inventory, on: update, data: { item_id: id, stock: stock } }
`;
const newRules = `
events:
  patient.created: { table: patients, on: insert, data: { patient_id: id, first_name: last_name, phone: phone } }
  payment.received: { table: payments, on: insert, data: { payment_id: id, amount: amount } }
  appointment.confirmed:
    table: appointments
    when: { status: { becomes: confirmed } }
    data: { patient: { lookup: patients, by: { id: patient_id }, select: last_name } }
  item.moved: { table: inventory, when: { category: { changes: true } }, data: { item_id: id } }
`;

describe.each(flavours)('events test, on %s', { timeout: 180_000 }, (flavour) => {
  const server = sharedServer(flavour);
  const storeName = `store_${randomBytes(5).toString('hex')}`;
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let folder: string;
  let since: string;
  let config: string;

  const rotate = (): Promise<unknown> => clinic.query('FLUSH BINARY LOGS');

  /** The log has whole seconds on MariaDB: what comes next is in another one than what came before. */
  async function nextSecond(): Promise<string> {
    const second = async (): Promise<string> =>
      String((await clinic.query("SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%Y-%m-%dT%TZ') AS now"))[0]!['now']);
    const before = await second();
    return waitFor(async () => {
      const now = await second();
      return now > before ? now : null;
    });
  }

  const dryRun = (...args: string[]): Promise<CliResult> =>
    eventsTest('--rules', join(folder, 'new.yaml'), ...args);

  function eventsTest(...args: string[]): Promise<CliResult> {
    return runCli(['events', 'test', '--config', config, ...args], {
      SOURCE_DATABASE_URL: clinic.url(),
      STORE_DATABASE_URL: `${server.url}/${storeName}`,
    });
  }

  beforeAll(async () => {
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
    const present = join(folder, 'present.yaml');
    await writeFile(present, presentRules);
    await writeFile(join(folder, 'new.yaml'), newRules);
    daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: `${server.url}/${storeName}`,
      yaml: `rules: ${present}\n${receiver.delivery}\nwebhooks: [{ name: all, url: "${receiver.url}", events: ["*"], secret: ${testSecret} }]\n`,
    });
    await daemon.untilReady();
    config = join(folder, 'odontology-webhooks.yaml');
    await copyFile(daemon.configFile, config);
    await clinic.query(
      "INSERT INTO patients (medrecno, first_name, last_name, branch_id) VALUES (7001, 'Antes', 'Peña', 1)",
    );
    await rotate();
    since = await nextSecond();
    await clinic.query(`
      INSERT INTO patients (id, medrecno, first_name, last_name, phone, branch_id) VALUES (70, 7002, 'Marcela', 'Secreta', '809-555-7777', 1);
      UPDATE inventory SET category = 'Otra' WHERE id = 1;
      INSERT INTO payments (patient_id, amount, payment_method) VALUES (70, 500.00, 'cash')`);
    await rotate();
    await clinic.query(`
      UPDATE inventory SET stock = stock - 1 WHERE id = 2;
      INSERT INTO appointments (id, patient_id, doctor_id, branch_id, appointment_date, appointment_time, status)
        VALUES (70, 70, 1, 1, '2027-01-01', '08:00:00', 'confirmed');
      ALTER TABLE patients ADD COLUMN apodo VARCHAR(20)`);
    await rotate();
    await waitFor(() => receiver.received.length === 4, { what: 'what the present rules make of it' });
  });

  afterAll(async () => {
    await daemon.kill();
    await receiver.stop();
    await rm(folder, { recursive: true });
    await clinic.query(`DROP DATABASE IF EXISTS ${storeName}`);
    await clinic.drop();
  });

  it('counts what the new rules make against what the present ones made, under the same ids', async () => {
    const stored = (): Promise<unknown> =>
      clinic.query(
        `SELECT (SELECT COUNT(*) FROM ${storeName}.event_log) AS events, (SELECT COUNT(*) FROM ${storeName}.webhooks) AS webhooks`,
      );
    const before = await stored();
    const { code, stdout, stderr } = await dryRun('--since', since, '--json');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as DryRunReport;
    const none = { present: 0, new: 0, same: 0, changed: 0, added: 0, removed: 0 };
    expect(report.events).toEqual([
      { ...none, event: 'patient.created', present: 1, new: 1, changed: 1 },
      { ...none, event: 'payment.received', present: 1, new: 1, same: 1 },
      { ...none, event: 'appointment.confirmed', new: 1, added: 1 },
      { ...none, event: 'item.moved', new: 1, added: 1 },
      { ...none, event: 'item.touched', present: 1, removed: 1 },
    ]);
    expect(report.changes).toBe(5);
    const told = report.differences.map(({ kind, event, table, key, fields }) => [
      kind,
      event,
      table,
      key,
      fields,
    ]);
    expect(told).toEqual([
      ['changed', 'patient.created', 'patients', '70', ['~first_name', '+phone']],
      ['added', 'item.moved', 'inventory', '1', ['item_id']],
      ['removed', 'item.touched', 'inventory', '2', ['item_id', 'stock']],
      ['added', 'appointment.confirmed', 'appointments', '70', ['patient']],
    ]);
    const idOf = (event: string): string | undefined =>
      receiver.received.findLast((each) => each.event === event)?.id;
    expect(report.differences.find(({ kind }) => kind === 'removed')?.id).toBe(idOf('item.touched'));
    expect(report.definitions).toEqual([expect.objectContaining({ tables: ['patients'] })]);
    expect(report.lookups).toBe(1);
    expect(report.halts).toEqual([]);
    expect(await stored()).toEqual(before);
    expect(stdout).not.toMatch(/Marcela|Secreta|809-555-7777/);
  });

  it('shows data only when it is asked to, and leaves the running daemon its connection', async () => {
    const { code, stdout } = await dryRun('--since', since, '--show-data');
    expect(code).toBe(0);
    expect(stdout).toContain('present: {"patient_id":70,"first_name":"Marcela"}');
    expect(stdout).toContain('new: {"patient_id":70,"first_name":"Secreta","phone":"809-555-7777"}');
    expect(stdout).toMatch(/a statement defined patients anew/);
    const acts = await clinic.query(
      `SELECT role, target, details FROM ${storeName}.audit_log WHERE action = 'patient.access'`,
    );
    expect(acts).toEqual([
      { role: 'local', target: '70', details: expect.objectContaining({ dry_run: expect.anything() }) },
    ]);
    await clinic.query(
      "INSERT INTO patients (medrecno, first_name, last_name, branch_id) VALUES (7003, 'Tras', 'Peña', 1)",
    );
    await waitFor(() => receiver.received.find(({ data }) => data['first_name'] === 'Tras'));
    expect(daemon.log.filter(({ msg }) => msg === 'capturing')).toHaveLength(1);
  });

  it('shows no data of a patient who was erased', async () => {
    const environment = {
      SOURCE_DATABASE_URL: clinic.url(),
      STORE_DATABASE_URL: `${server.url}/${storeName}`,
    };
    const erase = ['erase', '--config', config, '--patient', '70', '--reason', 'asked', '--yes'];
    expect(await runCli(erase, environment)).toMatchObject({ code: 0 });
    const { code, stdout } = await dryRun('--since', since, '--show-data');
    expect(code).toBe(0);
    expect(stdout).toContain('data: left out, the patient was erased');
    // The rule of the appointment looks up a name, and has no patient that an erasure could name.
    expect(stdout).not.toMatch(/Marcela|809-555-7777/);
    expect(
      await clinic.query(
        `SELECT COUNT(*) AS n FROM ${storeName}.audit_log WHERE action = 'patient.access' AND target = '70'`,
      ),
    ).toEqual([{ n: 1 }]);
  });

  it('counts what a webhook would be sent, of the file as it is edited or of the store, by its filter', async () => {
    const large = `{ name: Large, url: "${receiver.url}", events: ["payment.*", patient.created], secret: ${testSecret}, filter: { amount: { gt: 499.99 } } }`;
    const edited = (await readFile(config, 'utf8')).replace('webhooks: [', `webhooks: [${large}, `);
    await writeFile(config, edited);
    const { stdout, code } = await eventsTest('--webhook', 'LARGE', '--since', since);
    expect(code).toBe(0);
    // The patient has no amount; the payment of 500.00 passes.
    expect(stdout).toMatch(/Webhook Large would be sent 1 of [23] events that it subscribes to\./);
    const json = await eventsTest('--webhook', 'large', '--since', since, '--json');
    const { webhook } = JSON.parse(json.stdout) as DryRunReport;
    expect(webhook?.events).toContainEqual({ event: 'payment.received', subscribed: 1, passed: 1 });
    expect(webhook?.events.find(({ event }) => event === 'patient.created')).toMatchObject({ passed: 0 });

    await copyFile(daemon.configFile, config);
    await clinic.query(
      `INSERT INTO ${storeName}.webhooks (name, url, events, secret, filter) VALUES ('by sql', 'https://x.example', '["payment.*"]', '${testSecret}', '{"amount":{"lt":500.00}}')`,
    );
    const bySql = await eventsTest('--webhook', 'by sql', '--since', since);
    expect(bySql.stdout).toContain('Webhook by sql would be sent 0 of 1 events');
    const unknown = await eventsTest('--webhook', 'unknown', '--since', since);
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('ERR_NOT_FOUND')]);
    const nothing = await eventsTest('--since', since);
    expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining('Add --rules FILE')]);
  });

  it('reports what it cannot read and continues after it, and that the log does not reach back', async () => {
    await daemon.stop();
    const from = await nextSecond();
    await clinic.query(`
      SET FOREIGN_KEY_CHECKS = 0; TRUNCATE TABLE payments; SET FOREIGN_KEY_CHECKS = 1;
      INSERT INTO payments (patient_id, amount, payment_method) VALUES (70, 20.00, 'cash')`);
    const { code, stdout } = await dryRun('--since', from, '--json');
    const report = JSON.parse(stdout) as DryRunReport;
    expect(code).toBe(1);
    expect(report.halts).toEqual([expect.objectContaining({ reason: 'truncate' })]);
    expect(report.events.find(({ event }) => event === 'payment.received')).toMatchObject({ same: 1 });
    const longAgo = await dryRun('--since', '3650d', '--until', '3649d');
    expect(longAgo.stdout).toMatch(/the log begins at .*: what came before is purged/);
  });
});

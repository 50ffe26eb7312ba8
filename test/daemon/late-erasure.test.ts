import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import {
  runCli,
  startDaemonProcess,
  writeConfig,
  type CliResult,
  type DaemonProcess,
} from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const patience = { timeoutMs: 60_000 };
const key = randomBytes(32).toString('hex');

describe.each(flavours)('an erasure while capture is down, on %s', { timeout: 240_000 }, (flavour) => {
  const server = sharedServer(flavour);
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let store: string;
  let env: Record<string, string>;
  /** `patient.created of 45: Nombre` */
  const told: string[] = [];

  const start = async (settings = ''): Promise<void> => {
    await config?.remove();
    config = await writeConfig(
      `source: { url: "\${env:SOURCE_DATABASE_URL}" }\nstore: { url: "\${env:STORE_DATABASE_URL}"${settings} }\n`,
    );
    daemon = await startDaemonProcess({
      sourceUrl: env['SOURCE_DATABASE_URL']!,
      storeUrl: env['STORE_DATABASE_URL']!,
      store: `store: { url: "\${env:STORE_DATABASE_URL}"${settings} }`,
      yaml: `webhooks: [{ name: all, url: "${receiver.url}", events: ["*"], secret: ${testSecret} }]\n${receiver.delivery}`,
    });
    await daemon.untilReady();
  };
  /** Its own file: that of a daemon goes with it. */
  let config: Awaited<ReturnType<typeof writeConfig>> | undefined;
  const cli = (...args: string[]): Promise<CliResult> => runCli([...args, '--config', config!.file], env);

  beforeAll(async () => {
    clinic = await createSchema(server);
    store = `store_${clinic.name}`;
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    receiver.answer = ({ event, data }) => {
      told.push(`${event} of ${String(data['patient_id'])}: ${JSON.stringify(data)}`);
      return 204;
    };
    env = { SOURCE_DATABASE_URL: clinic.url(), STORE_DATABASE_URL: `${server.url}/${store}` };
  });
  afterAll(async () => {
    await daemon.kill();
    await config?.remove();
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${store}`);
    await clinic.drop();
  });

  let written = 9_100_000;
  const addPatient = async (name: string): Promise<string> => {
    written += 1;
    await clinic.query(
      `INSERT INTO patients (medrecno, first_name, last_name, phone, branch_id) VALUES (?, ?, 'Peña', '1', 1)`,
      [written, name],
    );
    const [row] = await clinic.query('SELECT id FROM patients WHERE medrecno = ?', [written]);
    return String(row!['id']);
  };
  const untilTold = (words: string): Promise<unknown> =>
    waitFor(() => told.some((line) => line.includes(words)), { ...patience, what: words });
  const bodies = async (patient: string): Promise<(string | null)[]> =>
    (await clinic.query(`SELECT body FROM ${store}.event_log WHERE subject = ? ORDER BY seq`, [patient])).map(
      (row) => row['body'] as string | null,
    );
  const erase = (...args: string[]): Promise<CliResult> =>
    cli('erase', '--reason', 'asked', '--yes', ...args);

  it('neither sends nor keeps what was committed before it, and sends what comes after', async () => {
    await start();
    const known = await addPatient('Conocida');
    const other = await addPatient('Otra');
    await untilTold('Conocida');
    await untilTold('Otra');
    await daemon.stop();

    await clinic.query(`UPDATE patients SET first_name = 'Borrada-tarde' WHERE id = ?`, [known]);
    const unseen = await addPatient('Nunca-vista');
    await clinic.query(`UPDATE patients SET first_name = 'Otra-vez' WHERE id = ?`, [other]);

    const first = await erase('--patient', known);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(/Capture is \d+ bytes behind the end of the binlog/);
    // Nothing is known of her, and the erasure holds all the same.
    expect(await erase('--patient', unseen, '--json')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('ERR_UNKNOWN_PATIENT'),
    });
    await clinic.query(`UPDATE patients SET first_name = 'Despues-a' WHERE id = ?`, [known]);
    await clinic.query(`UPDATE patients SET first_name = 'Despues-b' WHERE id = ?`, [unseen]);

    await start();
    await untilTold('Despues-a');
    await untilTold('Despues-b');
    await untilTold('Otra-vez');
    const all = told.join('\n');
    // The old value is in the next event: it is of another change.
    expect(all).not.toMatch(/patient\.created of \d+: [^\n]*Nunca-vista/);
    expect(all).not.toMatch(/"first_name":\{"old":"Conocida"/);
    expect((await bodies(known)).map((body) => body === null)).toEqual([true, true, false]);
    expect((await bodies(unseen)).map((body) => body === null)).toEqual([true, false]);
    const metrics = await (await fetch(`${daemon.url}/metrics`)).text();
    expect(metrics).toContain('odontology_webhooks_erased_events_total 2');
    await waitFor(async () => (await cli('audit', 'verify')).code === 0, {
      ...patience,
      what: 'the log to be proved',
    });

    // Read again from further back, by another process: the same.
    await daemon.kill();
    const deliveries = await clinic.query(
      `SELECT e.subject FROM ${store}.delivery_log d JOIN ${store}.event_log e ON e.seq = d.event_seq WHERE e.body IS NULL`,
    );
    expect(deliveries.map((row) => row['subject'])).toEqual([known]);
    await start();
    const replay = ['replay', '--webhook', 'all', '--since', '1h', '--reason', 'asked', '--yes'];
    expect((await cli(...replay)).code).toBe(0);
    await waitFor(
      async () => (await clinic.query(`SELECT state FROM ${store}.replays`))[0]?.['state'] === 'done',
      { ...patience, what: 'the replay' },
    );
    expect(told.join('\n')).not.toMatch(/patient\.created of \d+: [^\n]*Nunca-vista/);
  });

  it('covers a patient whose number changed, by --also', async () => {
    const before = await addPatient('Cambiada');
    await untilTold('Cambiada');
    const after = String(Number(before) + 500_000);
    await clinic.query('UPDATE patients SET id = ? WHERE id = ?', [after, before]);
    await untilTold(`patient.created of ${after}`);
    const done = await erase('--patient', after, '--also', before, '--also', `0${before}`, '--json');
    expect(done.code).toBe(1);
    expect(JSON.parse(done.stdout)).toMatchObject({ unknown: [`0${before}`] });
    for (const patient of [before, after])
      expect((await bodies(patient)).filter((body) => body !== null)).toEqual([]);
  });

  it('holds with encrypted payloads too', async () => {
    await daemon.stop();
    await start(`, encryption_key: "${key}"`);
    const known = await addPatient('Cifrada');
    await untilTold('Cifrada');
    await daemon.stop();
    await clinic.query(`UPDATE patients SET first_name = 'Cifrada-tarde' WHERE id = ?`, [known]);
    expect(await erase('--patient', known)).toMatchObject({ code: 0 });
    await clinic.query(`UPDATE patients SET first_name = 'Cifrada-luego' WHERE id = ?`, [known]);
    await start(`, encryption_key: "${key}"`);
    await untilTold('Cifrada-luego');
    expect(told.join('\n')).not.toContain('"new":"Cifrada-tarde"');
    expect((await bodies(known)).map((body) => body === null)).toEqual([true, true, false]);
  });
});

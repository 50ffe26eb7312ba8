import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { builtInRulesFile } from '../../src/event/rule/rule-file.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

/** What is planted in columns that are sent, in columns that no rule names, and in a table that none watches. */
const sent = { name: 'Xiomara-marcada', phone: '809-555-4242', diagnosis: 'Pulpitis-marcada' };
const unread = { treatment: 'Endodoncia-marcada', message: 'Aviso-marcado', password: 'contraseña-marcada' };
const markers = [...Object.values(sent), ...Object.values(unread)];

/** One daemon at the debug level through all that can go wrong; each test adds a fault, and then everything that it said is searched. */
describe.each(flavours)("patients' data, on %s", { timeout: 120_000 }, (flavour) => {
  const server = sharedServer(flavour);
  const storeName = `store_${randomBytes(5).toString('hex')}`;
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let proxy: TcpProxy;
  let daemon: DaemonProcess;
  let folder: string;
  let rules: string;
  let record = 0;

  beforeAll(async () => {
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    proxy = await startTcpProxy(server);
    folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
    rules = join(folder, 'events.yaml');
    await writeFile(rules, await readFile(builtInRulesFile, 'utf8'));
    daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: proxy.through(`${server.url}/${storeName}`),
      yaml: `rules: ${rules}\nlog: { level: debug }\n${receiver.delivery}\nwebhooks: [{ name: all, url: "${receiver.url}", events: ["*"], secret: ${testSecret} }]`,
    });
    await daemon.untilReady();
  });

  afterAll(async () => {
    await daemon.kill();
    await proxy.stop();
    await receiver.stop();
    await rm(folder, { recursive: true });
    await clinic.query(`DROP DATABASE IF EXISTS ${storeName}`);
    await clinic.drop();
  });

  /** Changes of every kind, the last of which is a record of that number. */
  async function plant(): Promise<number> {
    record += 1;
    await clinic.query(
      `INSERT INTO patients (medrecno, first_name, last_name, phone, branch_id) VALUES (?, ?, 'Peña', ?, 1);
       UPDATE users SET password = ? WHERE id = 1;
       INSERT INTO notifications (user_id, title, message) VALUES (1, 'Aviso', ?);
       INSERT INTO medical_records (id, patient_id, doctor_id, diagnosis, treatment) VALUES (?, 1, 1, ?, ?)`,
      [
        8_000 + record,
        sent.name,
        sent.phone,
        unread.password,
        unread.message,
        8_000 + record,
        sent.diagnosis,
        unread.treatment,
      ],
    );
    return 8_000 + record;
  }

  const untilSent = (id: number): Promise<unknown> =>
    waitFor(() => receiver.received.find(({ data }) => data['record_id'] === id), {
      timeoutMs: 60_000,
      what: 'the record',
    });

  const untilLogged = (pattern: RegExp): Promise<unknown> =>
    waitFor(() => daemon.log.some((line) => pattern.test(JSON.stringify(line))), {
      timeoutMs: 60_000,
      what: String(pattern),
    });

  /** Everything that an operator, a monitor or a neighbour on the machine can see of it. */
  async function expectSilence(): Promise<void> {
    const pages = await Promise.all(
      ['/metrics', '/readyz', '/healthz', '/api/status', '/api/events', '/nowhere'].map((path) =>
        daemon.get(path),
      ),
    );
    const process = await Promise.all(
      ['cmdline', 'comm', 'environ'].map((name) => readFile(`/proc/${daemon.pid}/${name}`, 'utf8')),
    );
    const seen = [
      JSON.stringify(daemon.log),
      daemon.stderr(),
      ...pages.map(({ body }) => body),
      ...process,
    ].join('\n');
    expect(seen.length).toBeGreaterThan(1_000);
    expect(markers.filter((marker) => seen.includes(marker))).toEqual([]);
  }

  it('is in the webhooks, where the rules name it, and nowhere else', async () => {
    await untilSent(await plant());
    const bodies = receiver.received.map(({ body }) => body).join('\n');
    for (const marker of Object.values(sent)) expect(bodies).toContain(marker);
    for (const marker of Object.values(unread)) expect(bodies).not.toContain(marker);
    await expectSilence();
  });

  it('stays out of sight when an endpoint fails', async () => {
    let failures = 3;
    receiver.answer = () => (failures-- > 0 ? 500 : 204);
    await untilSent(await plant());
    await waitFor(() => failures < 0, { timeoutMs: 60_000, what: 'the attempts after the failures' });
    await expectSilence();
  });

  it('stays out of sight when the store is cut off', async () => {
    proxy.refuse(true);
    proxy.cut();
    const id = await plant();
    await untilLogged(/trying again|could not be extended/);
    await expectSilence();
    proxy.refuse(false);
    await untilSent(id);
  });

  it('stays out of sight when rules are wrong, and a password is not even read for who asks', async () => {
    const good = await readFile(rules, 'utf8');
    await writeFile(rules, `${good}\n  user.changed: { table: users, data: { password: password } }\n`);
    await untilLogged(
      /events\.user\.changed\.data\.password: \\"password\\" holds passwords, which are never read/,
    );
    await untilSent(await plant());
    await expectSilence();
    await writeFile(rules, good);
  });

  it('stays out of sight when capture halts', async () => {
    await clinic.query("SET SESSION binlog_format = 'STATEMENT'");
    await clinic.query(
      `UPDATE patients SET first_name = '${sent.name}', phone = '${sent.phone}' WHERE id = 2`,
    );
    await clinic.query("SET SESSION binlog_format = 'ROW'");
    await waitFor(async () => (await daemon.get('/readyz')).body.includes('halted'), { timeoutMs: 60_000 });
    await expectSilence();
    const [state] = await clinic.query(`SELECT halt FROM ${storeName}.checkpoint`);
    const halt = JSON.stringify(state);
    expect(halt).toContain('statement-format');
    expect(markers.filter((marker) => halt.includes(marker))).toEqual([]);
  });

  it('is in the store only in the bodies that are sent', async () => {
    const tables = await clinic.query(
      'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ?',
      [storeName],
    );
    for (const { name } of tables) {
      const rows = JSON.stringify(await clinic.query(`SELECT * FROM ${storeName}.${String(name)}`));
      expect(Object.values(unread).filter((marker) => rows.includes(marker))).toEqual([]);
    }
  });
});

import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type Received, type TestReceiver } from '../support/receiver.ts';
import {
  createSchema,
  createUser,
  flavours,
  sharedServer,
  type TestSchema,
  type TestUser,
} from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const rulesBefore = `
events:
  patient.created: { table: patients, on: insert, data: { first_name: first_name } }
  inventory.low_stock:
    table: inventory
    when: { stock: { falls_to: min_stock } }
    data: { item_id: id, current_stock: stock }
`;
const taken = 'configuration reloaded';
const refused = 'the edit was refused; what was in force stays';

/** One daemon, and edits of all that may be edited while it runs, each on top of the one before. */
describe.each(flavours)('edits while it runs, on %s', (flavour) => {
  const server = sharedServer(flavour);
  const storeName = `store_${randomBytes(5).toString('hex')}`;
  let clinic: TestSchema;
  let user: TestUser & { drop(): Promise<void> };
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let folder: string;
  let rules: string;

  beforeAll(async () => {
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    user = await createUser(server, [
      'REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
      `SELECT ON \`${clinic.name}\`.*`,
      `ALL ON \`${storeName}\`.*`,
    ]);
    receiver = await startTestReceiver();
    folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
    rules = join(folder, 'events.yaml');
    await writeFile(rules, rulesBefore);
    const sourceUrl = clinic.url(user);
    daemon = await startDaemonProcess({
      sourceUrl,
      storeUrl: sourceUrl.replace(clinic.name, storeName),
      yaml: `rules: ${rules}\n${receiver.delivery}\nwebhooks:\n${webhook('patients', 'events: ["patient.*"]')}`,
    });
    await daemon.untilReady();
  });

  afterAll(async () => {
    await daemon.stop();
    await receiver.stop();
    await rm(folder, { recursive: true });
    await clinic.query(`DROP DATABASE IF EXISTS ${storeName}`);
    await user.drop();
    await clinic.drop();
  });

  const webhook = (name: string, settings: string): string =>
    `  - { name: ${name}, url: "${receiver.url}/${name}", secret: ${testSecret}, ${settings} }\n`;

  /** What came to a webhook, by the end of its URL. */
  const sentTo = (name: string): Received[] =>
    receiver.received.filter(({ path }) => path === `/webhooks/${name}`);

  const logged = (message: string): Record<string, unknown>[] =>
    daemon.log.filter(({ msg }) => msg === message);

  /** Edits a file, and gives the line in which the daemon says what it made of it. */
  async function edit(
    file: string,
    change: (text: string) => string,
    message: string,
  ): Promise<Record<string, unknown>> {
    const known = logged(message).length;
    await writeFile(file, change(await readFile(file, 'utf8')));
    return waitFor(() => logged(message)[known], { what: message });
  }

  const rowOf = async (name: string): Promise<Record<string, unknown> | undefined> =>
    (await clinic.query(`SELECT * FROM ${storeName}.webhooks WHERE name = ?`, [name]))[0];

  /** Commits a patient; gives the first name, by which the event is known again. */
  async function addPatient(): Promise<string> {
    const name = `Prueba ${randomBytes(4).toString('hex')}`;
    await clinic.query(
      "INSERT INTO patients (medrecno, first_name, last_name, branch_id) VALUES (?, ?, 'Peña', 2)",
      [randomBytes(3).readUIntBE(0, 3), name],
    );
    return name;
  }

  const untilSent = (name: string, firstName: string): Promise<Received> =>
    waitFor(() => sentTo(name).find(({ data }) => data['first_name'] === firstName), {
      what: `the event at ${name}`,
    });

  const addItem = (id: number, category: string): Promise<unknown> =>
    clinic.query(
      "INSERT INTO inventory (id, name, category, unit, stock, min_stock, price) VALUES (?, 'Gasa', ?, 'caja', 0, 5, 1.00)",
      [id, category],
    );

  /** What the file has on record. */
  const acts = async (name: string): Promise<Record<string, unknown>[]> =>
    clinic.query(
      `SELECT a.action, a.actor, a.role, a.details FROM ${storeName}.audit_log a JOIN ${storeName}.webhooks w ON w.id = a.target
       WHERE w.name = ? AND a.role = 'file' ORDER BY a.id`,
      [name],
    );

  it('begins with the webhooks of the file', async () => {
    await untilSent('patients', await addPatient());
    expect(await rowOf('patients')).toMatchObject({ managed_by: 'file', is_active: 1 });
  });

  it('takes a new one, with a filter on a column that was not read until then, fields and headers', async () => {
    const readers = logged('capturing').length;
    const settings =
      'events: ["*"], filter: { category: [consumibles, x] }, fields: [item_id], headers: { X-Clinic: central }';
    await edit(daemon.configFile, (text) => text + webhook('stock', settings), taken);
    await waitFor(() => logged('capturing').length > readers, { what: 'the reader that reads the column' });
    await addItem(901, 'Equipos');
    await addItem(902, ' Consumibles');
    const { body, headers } = await waitFor(() => sentTo('stock')[0]);
    expect(body).toMatch(/"data":\{"item_id":902\}\}$/);
    expect(headers['x-clinic']).toBe('central');
  });

  it('refuses bad edits with file, line and the nearest word, and continues with what was in force', async () => {
    const [goodConfig, goodRules] = [
      await readFile(daemon.configFile, 'utf8'),
      await readFile(rules, 'utf8'),
    ];
    const config = await edit(daemon.configFile, (text) => text.replace('patient.*', 'patiet.*'), refused);
    expect(config['error']).toMatch(/odontology-webhooks\.yaml:\d+:\d+ webhooks\[0\]\.events\[0\]/);
    expect(config['error']).toContain('no event begins with "patiet.", did you mean "patient.*"?');
    await writeFile(daemon.configFile, goodConfig);
    const wrongRules = await edit(rules, (text) => text.replace('stock: { falls', 'stok: { falls'), refused);
    expect(wrongRules['error']).toMatch(/events\.yaml:6:\d+ events\.inventory\.low_stock\.when\.stok/);
    expect(wrongRules['error']).toContain('table "inventory" has no column "stok", did you mean "stock"?');

    // A new reader, while the file has the refused rules.
    const readers = logged('capturing').length;
    const dump = (await clinic.sessions()).find(
      (session) => session.user === user.user && session.command.startsWith('Binlog Dump'),
    );
    await clinic.query(`KILL ${dump!.id}`);
    await waitFor(() => logged('capturing').length > readers, { what: 'another reader' });
    await untilSent('patients', await addPatient());
    // The next edit must not take the line of this one for its own.
    await edit(rules, () => goodRules, taken);
  });

  it('takes new rules at a transaction boundary that it names, and maps nothing before it again', async () => {
    await clinic.query("UPDATE patients SET phone = '809-555-0911' WHERE id = 1");
    await untilSent('patients', await addPatient());
    const known = logged('capturing').length;
    const { rules: name } = await edit(
      rules,
      (text) =>
        `${text}  patient.phoned: { table: patients, when: { phone: { changes: true } }, data: { first_name: first_name } }\n`,
      taken,
    );
    const boundary = await waitFor(() => logged('capturing')[known], { what: 'the boundary' });
    expect(boundary).toMatchObject({ rules: name, file: expect.any(String), offset: expect.any(Number) });
    await clinic.query("UPDATE patients SET phone = '809-555-0922' WHERE id = 2");
    const [{ first_name: second } = {}] = await clinic.query('SELECT first_name FROM patients WHERE id = 2');
    await untilSent('patients', String(second));
    expect(sentTo('patients').filter(({ event }) => event === 'patient.phoned')).toHaveLength(1);
  });

  it('takes webhooks that are written, changed and removed by plain SQL', async () => {
    await clinic.query(
      `INSERT INTO ${storeName}.webhooks (name, url, events, secret) VALUES ('sql', ?, '["patient.created"]', ?)`,
      [`${receiver.url}/sql`, testSecret],
    );
    await waitFor(() => sentIn('sql'), { what: 'the row to be taken' });
    await clinic.query(
      `UPDATE ${storeName}.webhooks SET filter = '{"last_name":"Núñez"}', events = '["patient.created","patient.creatd"]' WHERE name = 'sql'`,
    );
    const warned = await waitFor(
      () => logged('there is no event "patient.creatd", did you mean "patient.created"?')[0],
    );
    expect(warned).toMatchObject({ level: 'warn', webhook: 'sql' });
    await waitFor(async () => !(await sentIn('sql')), { what: 'the filter' });
  });

  /** Whether an event that is committed now reaches a webhook, told by one that is known to have it. */
  async function sentIn(name: string): Promise<boolean> {
    const patient = await addPatient();
    await untilSent('patients', patient);
    return sentTo(name).some(({ data }) => data['first_name'] === patient);
  }

  it('deactivates one that leaves the file, and keeps its log; takes over one whose name enters it', async () => {
    const log = (): Promise<Record<string, unknown>[]> =>
      clinic.query(
        `SELECT d.id FROM ${storeName}.webhook_deliveries d JOIN ${storeName}.webhooks w ON w.id = d.webhook_id WHERE w.name = 'stock'`,
      );
    const before = await log();
    expect(before.length).toBeGreaterThan(0);
    const line = await edit(
      daemon.configFile,
      (text) => text.replace(/ {2}- \{ name: stock.*\n/, webhook('sql', 'events: [inventory.low_stock]')),
      taken,
    );
    expect(line).toMatchObject({ created: [], updated: ['sql'], deactivated: ['stock'] });
    expect(await rowOf('stock')).toMatchObject({ managed_by: 'database', is_active: 0, deleted_at: null });
    expect(await rowOf('sql')).toMatchObject({ managed_by: 'file', is_active: 1, filter: null });
    await addItem(903, 'consumibles');
    await waitFor(() => sentTo('sql').find(({ data }) => data['item_id'] === 903));
    expect(sentTo('stock')).toHaveLength(1);
    expect(await log()).toEqual(before);
    const file_sha256 = createHash('sha256')
      .update(await readFile(daemon.configFile))
      .digest('hex');
    expect(await acts('stock')).toMatchObject([
      { action: 'webhook.create', actor: 'configuration file', details: { url: `${receiver.url}/stock` } },
      { action: 'webhook.deactivate', details: { name: 'stock', file_sha256 } },
    ]);
    const [taken_over] = await acts('sql');
    expect(taken_over).toMatchObject({ action: 'webhook.update', details: { file_sha256 } });
    expect((taken_over!['details'] as { changed: string[] }).changed).toEqual(
      expect.arrayContaining(['events', 'filter', 'managed_by']),
    );
    // No edit has touched it: nothing more than its beginning is on record.
    expect(await acts('patients')).toHaveLength(1);
  });
});

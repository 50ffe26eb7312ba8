import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { startDaemonProcess, type DaemonOptions, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { copiedColumns, createSchema, servers, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

interface Status {
  capture: {
    readers: number;
    last_error: string | null;
    failures: number;
    position: { file: string; offset: number };
  };
}

/** A server of its own, as on Windows: names of tables are kept and compared in lower case, however they are written. */
describe.each(servers)('capture on %s', (variant) => {
  let server: PrivateServer;
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemons: DaemonProcess[];

  beforeAll(async () => {
    server = await startPrivateServer({ flavour: variant, settings: ['lower-case-table-names=1'] });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    daemons = [];
  });
  afterEach(async () => {
    for (const daemon of daemons) await daemon.kill();
    await receiver.stop();
    await clinic.drop();
  });

  async function start(options: Partial<DaemonOptions> = {}): Promise<DaemonProcess> {
    const daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: `${server.url}/store_${clinic.name}`,
      yaml: `
webhooks: [{ name: all, url: "${receiver.url}", events: ["*"], secret: ${testSecret} }]
${receiver.delivery}
`,
      ...options,
    });
    daemons.push(daemon);
    await daemon.untilReady();
    return daemon;
  }

  const statusOf = async (daemon: DaemonProcess): Promise<Status['capture']> =>
    (JSON.parse((await daemon.get('/api/status')).body) as Status).capture;

  /** How often the checkpoint was written since. */
  async function countMoves({ file, offset }: Status['capture']['position']): Promise<number> {
    const written = await clinic.query(`SHOW BINLOG EVENTS IN '${file}' FROM ${offset}`);
    return written.filter(
      ({ Event_type: type, Info: info }) => type === 'Table_map' && String(info).includes('.checkpoint)'),
    ).length;
  }

  const cancel = (id: number, reason = ''): string =>
    `UPDATE Appointments SET status = 'cancelled'${reason && `, cancellation_reason = '${reason}'`} WHERE id = ${id}`;
  const book = (id: number): string =>
    `INSERT INTO APPOINTMENTS (id, patient_id, doctor_id, branch_id, appointment_date, appointment_time) VALUES (${id}, 1, 1, 1, '2026-03-07', '09:30:00')`;
  const untilReceived = (event: string, id: number): Promise<{ data: Record<string, unknown> }> =>
    waitFor(
      () => receiver.received.find((each) => each.event === event && each.data['appointment_id'] === id),
      {
        timeoutMs: 30_000,
        what: `${event} of ${id}`,
      },
    );

  it('finds tables by names in any letters where the server does', async () => {
    await start({ sourceUrl: clinic.url().replace(clinic.name, clinic.name.toUpperCase()) });
    await clinic.query(book(900));
    await untilReceived('appointment.scheduled', 900);
  });

  it('reads a column that a rule wants from the moment that it is added, and a table from when it is made', async () => {
    await clinic.query('CREATE TABLE kept LIKE consents; DROP TABLE consents');
    await start();
    await clinic.query(`${book(901)}; ${book(902)}; ${cancel(901)};
      ALTER TABLE appointments ADD COLUMN cancellation_reason VARCHAR(50);
      ${cancel(902, 'Viaje')};
      CREATE TABLE Consents LIKE kept;
      INSERT INTO consents (id, patient_id, procedure_name, status) VALUES (903, 1, 'Extracción', 'signed')`);
    expect((await untilReceived('appointment.cancelled', 901)).data['cancellation_reason']).toBeNull();
    expect((await untilReceived('appointment.cancelled', 902)).data['cancellation_reason']).toBe('Viaje');
    const events = await waitFor(
      () => receiver.received.filter(({ event }) => event === 'consent.signed').slice(0, 1)[0],
      {
        what: 'the consent',
        timeoutMs: 30_000,
      },
    );
    expect(events.data['procedure_name']).toBe('Extracción');
    expect(receiver.received.map(({ id }) => id)).toHaveLength(
      new Set(receiver.received.map(({ id }) => id)).size,
    );
  });

  it('moves its position on while nothing that it watches changes, and never for its own writes alone', async () => {
    const daemon = await start();
    await clinic.query('CREATE TABLE busy (id INT PRIMARY KEY AUTO_INCREMENT)');
    const before = (await statusOf(daemon)).position;
    await clinic.query(Array.from({ length: 200 }, () => 'INSERT INTO busy () VALUES ()').join(';'));
    const moved = await waitFor(
      async () => {
        const { position } = await statusOf(daemon);
        return position.offset - before.offset > 200 * 100 ? position : undefined;
      },
      { timeoutMs: 30_000, what: 'the position to move on' },
    );
    // Each move is a transaction in the same log: for our own writes alone, the next one comes after 30 s.
    await waitFor(
      async () => {
        const { position } = await statusOf(daemon);
        return position.offset > moved.offset ? position : undefined;
      },
      { timeoutMs: 60_000, what: 'the next move' },
    );
    expect(await countMoves(moved)).toBeLessThanOrEqual(2);
  });

  it('stands aside for another reader with its server id, and takes over when that one is gone', async () => {
    const yaml = `
webhooks: [{ name: all, url: "${receiver.url}", events: ["*"], secret: ${testSecret} }]
${receiver.delivery}
`;
    const first = await start({ yaml });
    const copied = await clinic.query(`SELECT id, uuid, server_id FROM store_${clinic.name}.installation`);
    expect(copied).toHaveLength(1);
    // A cloned machine: the same installation in a store of another name.
    const clone = `clone_${clinic.name}`;
    await clinic.query(`CREATE DATABASE ${clone}`);
    for (const [table, columns] of await copiedColumns(clinic, `store_${clinic.name}`)) {
      await clinic.query(
        `CREATE TABLE ${clone}.${table} LIKE store_${clinic.name}.${table};
         INSERT INTO ${clone}.${table} (${columns}) SELECT ${columns} FROM store_${clinic.name}.${table}`,
      );
    }
    const second = await start({ yaml, storeUrl: `${server.url}/${clone}` });
    await clinic.query(book(904));
    await waitFor(async () => (await statusOf(first)).last_error?.includes('Another reader'), {
      timeoutMs: 30_000,
      what: 'the first to notice',
    });
    const readers = (await statusOf(first)).readers;
    await waitFor(async () => (await statusOf(first)).failures >= 5, {
      timeoutMs: 60_000,
      what: 'the first to have looked again',
    });
    expect((await statusOf(first)).readers).toBe(readers);
    expect((await statusOf(second)).readers).toBe(1);
    await second.kill();
    await waitFor(async () => (await statusOf(first)).readers > readers, {
      timeoutMs: 60_000,
      what: 'the first to read again',
    });
  });
});

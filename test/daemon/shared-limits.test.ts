import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const patients = 40;
const ratePerSecond = 5;
/** Patients who are there before, for events at a limited rate: 12 s of them at 5 a second. */
const updated = 60;

describe('limits of a webhook over two daemons on one store', () => {
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let store: string;
  const daemons: DaemonProcess[] = [];

  beforeAll(async () => {
    clinic = await createSchema(sharedServer('mysql'));
    store = `store_${clinic.name}`;
    await loadClinic(await clinic.connect());
    await insertPatients(updated, 200_000);
    receiver = await startTestReceiver();
    const options = {
      sourceUrl: clinic.url(),
      storeUrl: clinic.url().replace(clinic.name, store),
      yaml: `${receiver.delivery}
webhooks:
  - { name: pagos, url: "${receiver.url}", events: [patient.created], secret: ${testSecret}, max_in_flight: 3 }
  - { name: lento, url: "${receiver.url}/lento", events: [patient.updated], secret: ${testSecret}, rate_limit: ${ratePerSecond}/s }`,
    };
    for (let count = 0; count < 2; count += 1) {
      const daemon = await startDaemonProcess(options);
      daemons.push(daemon);
      await daemon.untilReady();
    }
  });
  afterAll(async () => {
    await Promise.all(daemons.map((daemon) => daemon.stop()));
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${store}`);
    await clinic.drop();
  });

  async function insertPatients(count: number, from: number): Promise<void> {
    const values = Array.from({ length: count }, (_, n) => `(${n + from}, 'P${n}', 'Peña', 2)`);
    await clinic.query(
      `INSERT INTO patients (medrecno, first_name, last_name, branch_id) VALUES ${values.join(',')}`,
    );
  }

  /** The first learns of the second by its next look at who lives: then none has the whole limit. */
  const untilShared = (): Promise<unknown> =>
    waitFor(
      async () => {
        const { body } = await daemons[0]!.get('/metrics');
        return body.includes('odontology_webhooks_processes 2');
      },
      { timeoutMs: 30_000, what: 'the first daemon to know of the second' },
    );

  const inFlight = async (daemon: DaemonProcess): Promise<number> =>
    Number(/^odontology_webhooks_in_flight (\d+)$/m.exec((await daemon.get('/metrics')).body)![1]);

  it('hold for both together, and both of them send', async () => {
    await untilShared();
    const held: (() => void)[] = [];
    let isHolding = true;
    let present = 0;
    let most = 0;
    receiver.answer = async () => {
      present += 1;
      most = Math.max(most, present);
      if (isHolding) await new Promise<void>((resolve) => held.push(resolve));
      present -= 1;
      return 204;
    };
    await insertPatients(patients, 100_000);
    await waitFor(() => present === 3, { timeoutMs: 30_000, what: 'three requests at once' });
    expect((await Promise.all(daemons.map(inFlight))).toSorted()).toEqual([1, 2]);
    isHolding = false;
    for (const resume of held) resume();
    await waitFor(() => receiver.received.length >= patients, { timeoutMs: 60_000, what: 'all of them' });
    expect(most).toBe(3);
  });

  it('hold for the rate of both together, from the first request on', { timeout: 120_000 }, async () => {
    await untilShared();
    const arrivedMs: number[] = [];
    receiver.answer = (): number => {
      arrivedMs.push(performance.now());
      return 204;
    };
    const beganMs = performance.now();
    await clinic.query("UPDATE patients SET phone = '600000001' WHERE medrecno >= 200000");
    await waitFor(() => arrivedMs.length >= updated, { timeoutMs: 90_000, what: 'all of them' });
    // A request that arrives late only allows for more: this holds however slow the machine is. Each daemon may send one at once.
    const burst = daemons.length;
    const tooMany = arrivedMs.filter(
      (atMs, index) => index + 1 > burst + (ratePerSecond * (atMs - beganMs)) / 1_000,
    );
    expect(tooMany).toEqual([]);
    expect(arrivedMs).toHaveLength(updated);
    const outcomes = await Promise.all(daemons.map(async (daemon) => (await daemon.get('/metrics')).body));
    for (const body of outcomes)
      expect(body).toMatch(/attempts_total\{webhook="lento",outcome="\w+"\} [1-9]/);
  });
});

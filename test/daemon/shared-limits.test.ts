import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const patients = 40;

describe('limits of a webhook over two daemons on one store', () => {
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let store: string;
  const daemons: DaemonProcess[] = [];

  beforeAll(async () => {
    clinic = await createSchema(sharedServer('mysql'));
    store = `store_${clinic.name}`;
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    const options = {
      sourceUrl: clinic.url(),
      storeUrl: clinic.url().replace(clinic.name, store),
      yaml: `${receiver.delivery}
webhooks: [{ name: pagos, url: "${receiver.url}", events: [patient.created], secret: ${testSecret}, max_in_flight: 3 }]`,
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

  const inFlight = async (daemon: DaemonProcess): Promise<number> =>
    Number(/^odontology_webhooks_in_flight (\d+)$/m.exec((await daemon.get('/metrics')).body)![1]);

  it('hold for both together, and both of them send', async () => {
    // The first learns of the second by its next look at who lives: then none has the whole limit.
    await waitFor(
      async () => {
        const { body } = await daemons[0]!.get('/metrics');
        return body.includes('odontology_webhooks_processes 2');
      },
      { timeoutMs: 30_000, what: 'the first daemon to know of the second' },
    );
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
    const values = Array.from({ length: patients }, (_, n) => `(${n + 100_000}, 'P${n}', 'Peña', 2)`);
    await clinic.query(
      `INSERT INTO patients (medrecno, first_name, last_name, branch_id) VALUES ${values.join(',')}`,
    );
    await waitFor(() => present === 3, { timeoutMs: 30_000, what: 'three requests at once' });
    expect((await Promise.all(daemons.map(inFlight))).toSorted()).toEqual([1, 2]);
    isHolding = false;
    for (const resume of held) resume();
    await waitFor(() => receiver.received.length >= patients, { timeoutMs: 60_000, what: 'all of them' });
    expect(most).toBe(3);
  });
});

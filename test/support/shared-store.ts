import { randomBytes } from 'node:crypto';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startDaemonProcess, type DaemonProcess } from './daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from './receiver.ts';
import { createSchema, sharedServer, type TestSchema } from './server.ts';

/** A clinic whose `patient.updated` events go to one receiver, sent by daemons that share one store. */
export interface SharedStore {
  clinic: TestSchema;
  receiver: TestReceiver;
  /** The schema of the store. */
  name: string;
  /** Every daemon that was started. */
  daemons: readonly DaemonProcess[];
  start(): Promise<DaemonProcess>;
  /** Kills the daemons, and drops both schemas. */
  close(): Promise<void>;
}

export async function openSharedStore(variant: Parameters<typeof sharedServer>[0]): Promise<SharedStore> {
  const clinic = await createSchema(sharedServer(variant));
  await loadClinic(await clinic.connect());
  const receiver = await startTestReceiver();
  const name = `store_${randomBytes(5).toString('hex')}`;
  const daemons: DaemonProcess[] = [];
  return {
    ...{ clinic, receiver, name, daemons },
    async start() {
      const daemon = await startDaemonProcess({
        sourceUrl: clinic.url(),
        storeUrl: `${sharedServer(variant).url}/${name}`,
        yaml: `webhooks: [{ name: all, url: "${receiver.url}", events: [patient.updated], secret: ${testSecret} }]\n${receiver.delivery}`,
      });
      daemons.push(daemon);
      return daemon;
    },
    async close() {
      await Promise.all(daemons.map((daemon) => daemon.kill()));
      await receiver.stop();
      await clinic.query(`DROP DATABASE IF EXISTS ${name}`);
      await clinic.drop();
    },
  };
}

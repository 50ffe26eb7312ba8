import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modes } from '../binlog/modes.ts';
import { purgeLogs } from '../support/purge-logs.ts';
import { createSchema } from '../support/server.ts';
import { startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

/** The store is on the source server: what the daemon writes at its end is itself in the log, behind the checkpoint. */
describe.each(modes)('a clean stop on $name, and a log that is purged then', { timeout: 120_000 }, (mode) => {
  let clinic: HaltingClinic;
  beforeAll(async () => {
    clinic = await startHaltingClinic(mode);
  });
  afterAll(() => clinic.close());

  async function captureAndStop(name: string): Promise<void> {
    await clinic.start();
    await clinic.untilReady();
    await clinic.create(name);
    await clinic.untilDelivered(name);
    await clinic.stop();
  }

  async function purge(): Promise<void> {
    await clinic.schema.query('FLUSH BINARY LOGS; FLUSH BINARY LOGS');
    await purgeLogs((sql) => clinic.schema.query(sql));
  }

  const startOver = async (): Promise<void> => {
    await clinic.stop();
    clinic.forget();
    clinic.receiver.received.length = 0;
  };

  if (mode.gtid) {
    it('misses nothing, so that capture continues, again and again', async () => {
      for (const round of ['first', 'second', 'third']) {
        await captureAndStop(`${round}: before`);
        await purge();
        await clinic.create(`${round}: while down`);
        const check = await clinic.cli('check', '--json');
        expect(check.stdout).toContain('The log continues from the checkpoint.');
        await clinic.start();
        await clinic.untilReady();
        await clinic.untilDelivered(`${round}: while down`);
        await clinic.stop();
      }
      expect(clinic.delivered('capture.gap')).toEqual([]);
      expect(clinic.delivered()).toEqual([...new Set(clinic.delivered())]);
    });

    it('halts capture where a transaction of another schema was purged too: nothing says what it was', async () => {
      await captureAndStop('before the other');
      const other = await createSchema(clinic.server);
      await purge();
      await clinic.start();
      await clinic.untilHalted('purged');
      await other.drop();
      await startOver();
    });
  } else {
    it('halts capture: a file that is gone leaves no trace of what was in it', async () => {
      await captureAndStop('before');
      await purge();
      await clinic.start();
      await clinic.untilHalted('purged');
      await startOver();
    });
  }

  it('halts capture where a change of a watched table was purged too', async () => {
    await captureAndStop('before the change');
    await clinic.create('purged unread');
    await purge();
    await clinic.start();
    await clinic.untilHalted('purged');
    expect(clinic.delivered()).not.toContain('purged unread');
    await startOver();
  });

  it('halts capture where the daemon was killed', async () => {
    await clinic.start();
    await clinic.untilReady();
    await clinic.create('before the kill');
    await clinic.untilDelivered('before the kill');
    await clinic.stop();
    // As a killed process leaves it.
    await clinic.schema.query(`DELETE FROM ${clinic.storeName}.clean_stop`);
    await purge();
    await clinic.start();
    await clinic.untilHalted('purged');
    await startOver();
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modes } from '../binlog/modes.ts';
import { startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

describe.each(modes)('XA transactions while the daemon is away, on $name', (mode) => {
  let clinic: HaltingClinic;
  beforeAll(async () => {
    clinic = await startHaltingClinic(mode);
    await clinic.start();
    await clinic.untilReady();
  });
  afterAll(() => clinic.close());

  const prepare = async (xid: string, name: string): Promise<void> => {
    const connection = await clinic.schema.connect();
    await connection.query(
      `XA START '${xid}'; INSERT INTO items (name) VALUES ('${name}'); XA END '${xid}'; XA PREPARE '${xid}'`,
    );
    // The branch belongs to no connection any more: any other may end it.
    await connection.end();
  };

  it('delivers what was prepared before it ended and committed while it was away, and never what was rolled back', async () => {
    await prepare('kept', 'prepared');
    await prepare('gone', 'rolled back');
    await clinic.create('passed');
    await clinic.untilDelivered('passed');
    expect(clinic.delivered()).not.toContain('prepared');
    await clinic.stop();
    await clinic.schema.query("XA COMMIT 'kept'");
    await clinic.schema.query("XA ROLLBACK 'gone'");
    await clinic.start();
    await clinic.create('last');
    await clinic.untilDelivered('prepared', 'last');
    expect(clinic.delivered()).toEqual(['passed', 'prepared', 'last']);
  });
});

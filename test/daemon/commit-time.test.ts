import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listLogFiles } from '../../src/binlog/source/log-file.ts';
import { findPositionAt } from '../../src/binlog/position/position-at.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import type { InstallationStatus } from '../../src/daemon/status.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { modes } from '../binlog/modes.ts';
import { startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

const past = "SET timestamp = UNIX_TIMESTAMP('2001-02-03 04:05:06')";
const future = 'SET timestamp = 2147480000';

describe.each(modes)('the time of events, on $name', { timeout: 120_000 }, (mode) => {
  let clinic: HaltingClinic;
  beforeAll(async () => {
    clinic = await startHaltingClinic(mode);
    await clinic.start();
    await clinic.untilReady();
  });
  afterAll(() => clinic.close());

  const record = (): Promise<Record<string, unknown>[]> =>
    clinic.schema.query(`SELECT seq, id, occurred_at, body FROM ${clinic.storeName}.event_log ORDER BY seq`);

  it('is near the commit whatever time the session has set, and so is the lag', async () => {
    const beganMs = Date.now();
    const writer = await clinic.schema.connect();
    for (const [name, time] of [
      ['past', past],
      ['future', future],
      ['minute', 'SET timestamp = UNIX_TIMESTAMP() - 60'],
    ])
      await writer.query(`${time}; INSERT INTO items (name) VALUES ('${name}'); SET timestamp = DEFAULT`);
    await clinic.untilDelivered('past', 'future', 'minute');
    for (const name of ['past', 'future', 'minute']) {
      const { body } = clinic.receiver.received.find(({ data }) => data['name'] === name)!;
      const { timestamp } = JSON.parse(body) as { timestamp: string };
      expect(Date.parse(timestamp)).toBeGreaterThan(beganMs - 8_000);
      expect(Date.parse(timestamp)).toBeLessThan(Date.now() + 3_000);
    }
    const lag = /^odontology_webhooks_lag_seconds (\S+)$/m.exec((await clinic.get('/metrics')).body);
    expect(Number(lag![1])).toBeLessThan(30);
    const status = JSON.parse((await clinic.cli('status', '--json')).stdout) as InstallationStatus;
    expect(Math.abs(Date.parse(status.capture.committed_at!) - Date.now())).toBeLessThan(30_000);
    if (mode.flavour === 'mariadb')
      expect((await clinic.get('/metrics')).body).toMatch(
        /^odontology_webhooks_estimated_commit_times_total 3$/m,
      );
  });

  it('is between the change before and the one behind for what a false session committed while the daemon was down', async () => {
    await clinic.create('before');
    await clinic.untilDelivered('before');
    await clinic.stop();
    const writer = await clinic.schema.connect();
    await writer.query(`${past}; INSERT INTO items (name) VALUES ('backlog, past')`);
    await writer.query(`${future}; INSERT INTO items (name) VALUES ('backlog, future')`);
    await writer.query("SET timestamp = DEFAULT; INSERT INTO items (name) VALUES ('backlog, honest')");
    await clinic.start();
    await clinic.untilReady();
    await clinic.create('behind');
    await clinic.untilDelivered('backlog, past', 'backlog, future', 'backlog, honest', 'behind');
    const times = ['before', 'backlog, past', 'backlog, future', 'backlog, honest', 'behind'].map((name) => {
      const { body } = clinic.receiver.received.find(({ data }) => data['name'] === name)!;
      return Date.parse((JSON.parse(body) as { timestamp: string }).timestamp);
    });
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times.at(-1)! - times[0]!).toBeLessThan(300_000);
  });

  it('stays as it was recorded when the log is read again, and nothing is sent twice', async () => {
    await clinic.stop();
    const place = `${clinic.storeName}.place`;
    await clinic.schema.query(`CREATE TABLE ${place} AS SELECT * FROM ${clinic.storeName}.checkpoint`);
    await clinic.start();
    await clinic.untilReady();
    const writer = await clinic.schema.connect();
    await writer.query(`${past}; INSERT INTO items (name) VALUES ('read twice, past')`);
    await writer.query(`${future}; INSERT INTO items (name) VALUES ('read twice, future')`);
    await clinic.untilDelivered('read twice, past', 'read twice, future');
    await clinic.stop();
    const recorded = await record();
    // As after a crash that lost the last move of the checkpoint: the events are there, the position is the one before.
    await clinic.schema.query(
      `UPDATE ${clinic.storeName}.checkpoint c JOIN ${place} p USING (id)
       SET c.gtid = p.gtid, c.file = p.file, c.offset = p.offset, c.file_created_at = p.file_created_at,
           c.committed_at = p.committed_at, c.passed_at = p.passed_at, c.mark = p.mark; DROP TABLE ${place}`,
    );
    await clinic.start();
    await clinic.create('behind what is read twice');
    await clinic.untilDelivered('behind what is read twice');
    expect((await record()).slice(0, recorded.length)).toEqual(recorded);
    for (const name of ['read twice, past', 'read twice, future'])
      expect(clinic.delivered().filter((each) => each === name)).toHaveLength(1);
  });

  it('is what a log is searched by, though files claim to be of the past or of the future', async () => {
    const writer = await clinic.schema.connect();
    const source = openSource(parseDatabaseUrl(clinic.schema.url()));
    const honest = (await listLogFiles(source)).at(-1)!.name;
    for (const time of [future, past, past, future])
      await writer.query(`${time}; FLUSH BINARY LOGS; SET timestamp = DEFAULT`);
    const found = await findPositionAt(source, mode, Date.now() + 60_000);
    expect(found!.position.file).toBe(honest);
    await source.close();
  });
});

import { describe, expect, it } from 'vitest';
import { openSource } from '../../src/binlog/source/source.ts';
import { toLogLimits } from '../../src/binlog/position/runway.ts';
import { createRunwayWatch, isShort } from '../../src/daemon/upkeep/runway-watch.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { createLog } from '../../src/lib/log.ts';
import { FailureLog } from '../../src/lib/loop/failure-log.ts';
import { checkpointAt, claimant, openTestAppender, openTestStore } from '../outbox/support.ts';
import { flavours } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const hour = 3_600_000;
const runway = { retentionMs: 72 * hour, behindBytes: 1_000, logBytes: 5_000, bytesPerSecond: 10 };

describe('a runway', () => {
  it.each([
    ['a day of three', { untilPurgeMs: 25 * hour }, false],
    ['less than a day of three', { untilPurgeMs: 23 * hour }, true],
    ['most of a short retention', { retentionMs: 4 * hour, untilPurgeMs: 3 * hour }, false],
    ['less than half of a short one', { retentionMs: 4 * hour, untilPurgeMs: 1.9 * hour }, true],
    ['a log that is bounded by its size alone', { retentionMs: null, untilPurgeMs: 23 * hour }, true],
    ['a log that is kept for ever', { untilPurgeMs: null }, false],
    ['nothing left to read', { untilPurgeMs: 0, behindBytes: 0 }, false],
  ])('is short or not: %s', (_what, over, short) => {
    expect(isShort({ ...runway, ...over })).toBe(short);
  });

  it.each([
    [
      'MySQL',
      { binlog_expire_logs_seconds: '2592000', binlog_expire_logs_auto_purge: 'ON' },
      720 * hour,
      null,
    ],
    [
      'MySQL without purging',
      { binlog_expire_logs_seconds: '60', binlog_expire_logs_auto_purge: 'OFF' },
      null,
      null,
    ],
    ['MariaDB by days', { expire_logs_days: '10.000000', binlog_expire_logs_seconds: '0' }, 240 * hour, null],
    ['MariaDB 11.4 by size', { expire_logs_days: '0', max_binlog_total_size: '1073741824' }, null, 2 ** 30],
  ])('follows from the settings of %s', (_what, variables, retentionMs, maxBytes) => {
    expect(toLogLimits(new Map(Object.entries(variables)))).toEqual({ retentionMs, maxBytes });
  });
});

describe.each(flavours)('the watch over the runway, on %s', (flavour) => {
  it('warns of a log that is not there any more', async () => {
    const test = await openTestStore(flavour);
    const lines: string[] = [];
    const log = createLog('warn', { write: (line) => lines.push(line) });
    const source = openSource(parseDatabaseUrl(test.schema.url()));
    const watch = createRunwayWatch({ source, store: test.store, log, outages: new FailureLog(log) });
    try {
      const { appender } = await openTestAppender(claimant(test.store), test.vault);
      await appender.advance({
        ...checkpointAt(4),
        position: { gtid: null, file: 'gone.000001', offset: 4 },
      });
      watch.start();
      await waitFor(() => lines.length > 0, { timeoutMs: 30_000, what: 'the warning' });
      expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'warn', until_purge_s: 0 });
      expect(watch.latest()).toMatchObject({ untilPurgeMs: 0 });
    } finally {
      await watch.stop();
      await source.close();
      await test.close();
    }
  });
});

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flavours, type TestSchema } from '../support/server.ts';
import { openSharedStore, type SharedStore } from '../support/shared-store.ts';
import { waitFor } from '../support/wait-for.ts';

const far = "'2099-01-01'";
const near = 'UTC_TIMESTAMP(3) + INTERVAL 11 SECOND';
const tooHigh = 4_000_000_000;

/** What SQL can write into `leases`, by what it does to the row of each lease. */
const thefts: Readonly<Record<string, string>> = {
  'another holder and a far expiry': `UPDATE leases SET holder = 'evil', expires_at = ${far} WHERE name = 'capture'`,
  'another holder and the expiry of a live one': `UPDATE leases SET holder = 'evil', token = token + 1, expires_at = ${near} WHERE name = 'capture'`,
  'a far expiry': `UPDATE leases SET expires_at = ${far}`,
  'a token that is lower': "UPDATE leases SET token = 0 WHERE name = 'capture'",
  'a token that is higher': `UPDATE leases SET token = ${tooHigh} WHERE name = 'capture'`,
  'the row deleted': "DELETE FROM leases WHERE name = 'capture'",
  'all rows deleted': 'DELETE FROM leases',
  'the maintenance lease': `REPLACE INTO leases VALUES ('maintenance', 'evil', 9, ${far})`,
  'daemons that do not run': `INSERT INTO leases VALUES ('evil1', 'evil1', 1, ${far}), ('evil2', 'evil2', 1, ${far})`,
  'a fence that is higher': `UPDATE checkpoint SET fence = ${tooHigh} + 1000`,
};

const sound = `SELECT 1 FROM leases l JOIN checkpoint c ON c.fence = l.token WHERE l.name = 'capture' AND l.holder NOT LIKE 'evil%'
  AND l.holder IN (SELECT name FROM leases) AND l.expires_at BETWEEN UTC_TIMESTAMP(3) AND ${near}
  AND NOT EXISTS (SELECT 1 FROM leases f WHERE f.name LIKE 'evil%')`;

describe.each(flavours)('leases that SQL has written, on %s', (flavour) => {
  let shared: SharedStore;
  let clinic: TestSchema;
  beforeEach(async () => {
    shared = await openSharedStore(flavour);
    ({ clinic } = shared);
  });
  afterEach(() => shared.close());

  async function inStore(sql: string): Promise<Record<string, unknown>[]> {
    const connection = await clinic.connect();
    await connection.query(`USE ${shared.name}`);
    const [rows] = await connection.query(sql);
    await connection.end();
    return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
  }

  it(
    'do not end capture, nor deliveries, nor the share of a daemon in the limits',
    { timeout: 240_000 },
    async () => {
      const daemon = await shared.start();
      await daemon.untilReady();
      let phone = 1;
      for (const [theft, sql] of Object.entries(thefts)) {
        await inStore(sql);
        // The lease as its holder writes it again: until then the daemon may not have noticed.
        await waitFor(async () => (await inStore(sound)).length === 1, {
          timeoutMs: 40_000,
          what: `a sound lease after ${theft}`,
        });
        phone += 1;
        await clinic.query('UPDATE patients SET phone = ? WHERE id = 1', [String(phone)]);
        const isReceived = (): boolean =>
          shared.receiver.received.some(({ data }) => JSON.stringify(data).includes(`"new":"${phone}"`));
        await waitFor(isReceived, { timeoutMs: 40_000, what: `a change after ${theft}` });
      }
      await waitFor(async () => (await daemon.get('/metrics')).body.includes('processes 1\n'), {
        timeoutMs: 20_000,
        what: 'the share of a daemon that is alone',
      });
      await daemon.untilReady();
      const logged = daemon.log.map(({ msg }) => String(msg)).join('\n');
      expect(logged).toContain('the capture lease named a holder that is no running daemon');
      expect(logged).toContain('rows of `leases` expired later than any daemon sets');
    },
  );

  it(
    'are reported by a standby where the holder does not capture, and by none beside a healthy leader',
    { timeout: 240_000 },
    async () => {
      const leader = await shared.start();
      await leader.untilReady();
      const standby = await shared.start();
      await standby.untilReady();
      expect((await standby.get('/metrics')).body).toContain('odontology_webhooks_lease_blocked 0');
      await leader.stop();
      // Rows as a daemon writes them, written again and again.
      const forge = async (): Promise<void> => {
        await inStore(
          `REPLACE INTO leases VALUES ('evil', 'evil', 1, ${near}), ('capture', 'evil', ${tooHigh}, ${near})`,
        );
      };
      const unready = async (): Promise<string | undefined> => {
        await forge();
        const { status, body } = await standby.get('/readyz');
        return status === 503 && body.includes('evil') ? body : undefined;
      };
      const told = await waitFor(unready, { timeoutMs: 60_000, what: 'the standby to report it' });
      expect(told).toContain("DELETE FROM leases WHERE name = 'capture'");
      expect((await standby.get('/metrics')).body).toContain('odontology_webhooks_lease_blocked 1');
      expect((await standby.get('/api/status')).body).toContain('"blocked_by":"evil"');
      expect(standby.log.map(({ msg }) => msg)).toContain(
        'the holder of the lease to capture does not capture',
      );
      await inStore("DELETE FROM leases WHERE name IN ('capture', 'evil')");
      await standby.untilReady();
      await waitFor(
        async () => (await standby.get('/metrics')).body.includes('odontology_webhooks_capturing 1'),
        {
          timeoutMs: 20_000,
          what: 'the standby to capture',
        },
      );
    },
  );

  it(
    'are waited for by no daemon without a word while another session holds the rows',
    { timeout: 120_000 },
    async () => {
      await (await shared.start()).untilReady();
      const standby = await shared.start();
      await standby.untilReady();
      const blocker = await clinic.connect();
      await blocker.query(`USE ${shared.name}; BEGIN; SELECT * FROM leases FOR UPDATE`);
      for (const daemon of shared.daemons)
        await waitFor(async () => (await daemon.get('/readyz')).status === 503, {
          timeoutMs: 90_000,
          what: 'a daemon that is not ready',
        });
      await blocker.query('ROLLBACK');
    },
  );
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modes } from '../binlog/modes.ts';
import { purgeLogs } from '../support/purge-logs.ts';
import { waitFor } from '../support/wait-for.ts';
import { startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

describe('a GTID domain that is retired, on MariaDB', { timeout: 120_000 }, () => {
  let clinic: HaltingClinic;
  beforeAll(async () => {
    clinic = await startHaltingClinic(modes.find(({ flavour }) => flavour === 'mariadb')!);
    await clinic.start();
    await clinic.untilReady();
  });
  afterAll(() => clinic.close());

  const inDomain = async (domain: number, name: string): Promise<void> => {
    const writer = await clinic.schema.connect();
    await writer.query(`SET SESSION gtid_domain_id = ${domain}; INSERT INTO items (name) VALUES ('${name}')`);
  };
  const retire = async (domain: number): Promise<void> => {
    await clinic.schema.query('FLUSH BINARY LOGS; FLUSH BINARY LOGS');
    await purgeLogs((sql) => clinic.schema.query(sql));
    await clinic.schema.query(`FLUSH BINARY LOGS DELETE_DOMAIN_ID = (${domain})`);
  };

  it('while the daemon is down, and is used again from its beginning', async () => {
    await inDomain(9, 'of domain 9');
    await clinic.create('of domain 0');
    await clinic.untilDelivered('of domain 9', 'of domain 0');
    await clinic.stop();
    await retire(9);
    await clinic.create('while down');
    await clinic.start();
    await clinic.untilReady();
    await clinic.untilDelivered('while down');
    await inDomain(9, 'of domain 9 again');
    await clinic.untilDelivered('of domain 9 again');
  });

  it('before the daemon is installed, which is then started again', async () => {
    await clinic.stop();
    await inDomain(7, 'unseen');
    await retire(7);
    clinic.forget();
    await clinic.start();
    await clinic.untilReady();
    await clinic.stop();
    await clinic.create('after the installation');
    await clinic.start();
    await clinic.untilReady();
    await clinic.untilDelivered('after the installation');
    expect(clinic.delivered('capture.gap')).toEqual([]);
  });

  it('while the daemon runs, and is used again before and after a restart', async () => {
    await inDomain(5, 'of domain 5');
    await inDomain(6, 'of domain 6');
    await clinic.untilDelivered('of domain 5', 'of domain 6');
    await retire(5);
    await inDomain(5, 'of domain 5 again');
    await clinic.untilDelivered('of domain 5 again');
    await retire(6);
    await clinic.create('after domain 6');
    await clinic.untilDelivered('after domain 6');
    await clinic.stop();
    await inDomain(6, 'of domain 6 again');
    await clinic.start();
    await clinic.untilDelivered('of domain 6 again');
    await inDomain(5, 'of domain 5, the second');
    await clinic.untilDelivered('of domain 5, the second');
    expect(clinic.delivered().toSorted()).toEqual([...new Set(clinic.delivered())].toSorted());
    expect(clinic.delivered('capture.gap')).toEqual([]);
  });

  it('and changes the same row again under the same number, which is another event', async () => {
    const move = async (qty: number): Promise<void> => {
      const writer = await clinic.schema.connect();
      await writer.query(
        `SET SESSION gtid_domain_id = 3; UPDATE items SET qty = ${qty} WHERE name = 'after domain 6'`,
      );
    };
    const moves = (): unknown[] => clinic.receiver.received.filter(({ event }) => event === 'item.moved');
    await move(1);
    await waitFor(() => moves().length === 1, { what: 'the first move' });
    await retire(3);
    await clinic.stop();
    await move(2);
    await clinic.start();
    await waitFor(() => moves().length === 2, { what: 'the second move' });
  });

  it('while one reader lives, and changes the same row again under the same number, which is another event', async () => {
    const move = async (qty: number): Promise<void> => {
      const writer = await clinic.schema.connect();
      await writer.query(
        `SET SESSION gtid_domain_id = 11; UPDATE items SET qty = ${qty} WHERE name = 'after domain 6'`,
      );
    };
    const moves = (): unknown[] =>
      clinic.receiver.received
        .filter(({ event, data }) => event === 'item.moved' && Number(data['qty']) > 10)
        .map(({ data }) => data['qty']);
    await move(11);
    await waitFor(() => moves().length === 1, { what: 'the first move' });
    await retire(11);
    await move(12);
    await waitFor(() => moves().length === 2, { what: 'the second move' });
    await retire(11);
    await clinic.create('between two retirements');
    await move(13);
    await waitFor(() => moves().length === 3, { what: 'the third move' });
    expect(moves()).toEqual([11, 12, 13]);
    const ids = clinic.receiver.received.map(({ id }) => id);
    expect(ids.length).toBe(new Set(ids).size);
    const names = clinic.delivered();
    expect(names.length).toBe(new Set(names).size);
  });

  it('behind which a gap is scanned, and rules are tried', async () => {
    await inDomain(4, 'of domain 4');
    await clinic.untilDelivered('of domain 4');
    await retire(4);
    await clinic.create('before the halt');
    await clinic.untilDelivered('before the halt');
    await clinic.stop();
    await clinic.schema.query(
      "SET SESSION binlog_format = STATEMENT; UPDATE items SET qty = 1 WHERE name = 'of domain 4'",
    );
    await inDomain(4, 'of domain 4 again');
    await clinic.start();
    await clinic.untilHalted('statement-format');
    const gap = await clinic.accept('read again from the application', { untilMs: Date.now() + 1_000 });
    expect(gap).toMatchObject({ kind: 'transaction', scan: { readable: 1, stoppedAt: null } });
    await clinic.untilDelivered('of domain 4 again');
    const tried = await clinic.cli('events', 'test', '--webhook', 'all', '--since', '1h', '--json');
    const report = JSON.parse(tried.stdout) as { halts: { reason: string }[]; changes: number };
    // Its reader begins in a file that lists the domain, and reads on where the domain is used again.
    expect(report.halts.map(({ reason }) => reason)).toEqual(['statement-format']);
    expect(report.changes).toBeGreaterThanOrEqual(2);
  });
});

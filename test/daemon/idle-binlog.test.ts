import { randomBytes } from 'node:crypto';
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { leaseTiming } from '../../src/db/connection/lease.ts';
import { probeStore } from '../../src/db/connection/probe-store.ts';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { servers } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

/** The promise of the README. */
const bytesAMinute = 20 * 1_024;
const renewalsAMinute = 60_000 / leaseTiming.renewMs;
/** See ADVANCE_EVERY_MS of capture. */
const movesAMinute = 2;
const renewals = 8;

const privilege = { mysql: 'SESSION_VARIABLES_ADMIN', mariadb: 'BINLOG ADMIN' } as const;

interface LoggedTransaction {
  tables: readonly string[];
  bytes: number;
}

/** A server of its own: all that is in its log is the daemon's. */
describe.each(servers)('a daemon whose clinic is idle, on %s', (variant) => {
  let server: PrivateServer;
  let root: Connection;
  let daemon: DaemonProcess | undefined;

  beforeEach(async () => {
    server = await startPrivateServer({ flavour: variant });
    root = await createConnection({ uri: server.url, multipleStatements: true });
  });
  afterEach(async () => {
    await daemon?.kill();
    await root.end();
    await server.stop();
  });

  /** What the current file of the log holds. Inside a transaction some servers log no place: only its end counts. */
  async function transactions(): Promise<LoggedTransaction[]> {
    const status = server.flavour === 'mysql' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS';
    const [[{ File: file }]] = (await root.query(status)) as unknown as [[{ File: string }]];
    const [events] = await root.query<RowDataPacket[]>(`SHOW BINLOG EVENTS IN '${file}'`);
    const found: LoggedTransaction[] = [];
    let tables = new Set<string>();
    let end = 0;
    for (const { Event_type: type, Info: info, End_log_pos: place } of events as {
      Event_type: string;
      Info: string;
      End_log_pos: number;
    }[]) {
      const table = /table_id: \d+ \(\w+\.(\w+)\)/.exec(info)?.[1];
      if (table !== undefined) tables.add(table);
      if (type !== 'Xid') continue;
      found.push({ tables: [...tables], bytes: place - end });
      tables = new Set();
      end = place;
    }
    return found.slice(1);
  }

  const isRenewal = ({ tables }: LoggedTransaction): boolean => tables.join() === 'leases';
  const isMove = ({ tables }: LoggedTransaction): boolean => tables.join() === 'checkpoint';

  it.each([
    ['an account that may choose what is logged', true],
    ['the least account of the README', false],
  ])('writes at most 20 KB of binlog a minute: %s', { timeout: 180_000 }, async (_name, isRoot) => {
    const [clinic, store] = [`clinic_${randomBytes(3).toString('hex')}`, 'webhooks_store'];
    await root.query(`CREATE DATABASE ${clinic} CHARACTER SET utf8mb4; USE ${clinic}`);
    await loadClinic(root);
    await root.query(`CREATE USER w@'%' IDENTIFIED BY 'pw';
      GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO w@'%'; GRANT SELECT ON ${clinic}.* TO w@'%';
      GRANT ALL ON ${store}.* TO w@'%'`);
    const url = isRoot ? server.url : server.url.replace('root@', 'w:pw@');
    const limits = await probeStore(parseDatabaseUrl(`${url}/${store}`));
    if (isRoot) expect(limits.grantForLessLog).toBeUndefined();
    else expect(limits.grantForLessLog).toBe(`GRANT ${privilege[server.flavour]} ON *.* TO 'w'@'%';`);
    daemon = await startDaemonProcess({ sourceUrl: `${url}/${clinic}`, storeUrl: `${url}/${store}` });
    await daemon.untilReady();
    // Behind what a first start writes: keys, seals, the first move of the checkpoint.
    await waitFor(
      async () => {
        const seen = await transactions();
        return seen.some(({ tables }) => tables.includes('seals')) && seen.slice(-3).every(isRenewal);
      },
      { timeoutMs: 60_000, what: 'the first seal, and three renewals in a row' },
    );
    const before = (await transactions()).length;
    const idle = await waitFor(
      async () => {
        const seen = (await transactions()).slice(before);
        return seen.filter(isRenewal).length >= renewals ? seen : null;
      },
      { timeoutMs: 60_000, everyMs: 500, what: `${renewals} renewals of the lease` },
    );
    // In 16 seconds nothing but the renewals, and at most one move of the checkpoint.
    expect(idle.filter((each) => !isRenewal(each) && !isMove(each))).toEqual([]);
    expect(idle.filter(isMove).length).toBeLessThanOrEqual(1);
    const largest = (which: (each: LoggedTransaction) => boolean, all: LoggedTransaction[]): number =>
      Math.max(...all.filter(which).map(({ bytes }) => bytes));
    const renewal = largest(isRenewal, idle);
    // The later ones: the first names the tables.
    const moves = await waitFor(
      async () => {
        const seen = (await transactions()).filter(isMove);
        return seen.length >= 2 ? seen : null;
      },
      { timeoutMs: 90_000, everyMs: 500, what: 'moves of the checkpoint' },
    );
    const move = largest(isMove, moves.slice(-1));
    expect(renewalsAMinute * renewal + movesAMinute * move).toBeLessThanOrEqual(bytesAMinute);
  });
});

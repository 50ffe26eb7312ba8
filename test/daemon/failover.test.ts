import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { sleep } from '../../src/lib/clock.ts';
import { modes } from '../binlog/modes.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { promote, replicate } from '../support/replica.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, createUser, type TestSchema, type TestUser } from '../support/server.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

/** Beyond the patients who are there from the start. */
const firstId = 10_000;
const insert = (id: number): string =>
  `INSERT INTO patients (id, first_name, last_name, branch_id, phone) VALUES (${id}, 'Ana', 'Peña', 1, '0')`;
/** The phone counts the changes of the row. */
const touch = (id: number): string => `UPDATE patients SET phone = phone + 1 WHERE id = ${id}`;

/**
 * As in a clinic: the store is on the source and is replicated with it, and all clients find the server by one address,
 * which leads to the replica afterwards.
 */
describe.each(modes)(
  'a failover of $name, the store on the same server',
  { timeout: 180_000 },
  ({ variant, flavour, gtid, settings }) => {
    let source: PrivateServer;
    let replica: PrivateServer;
    let proxy: TcpProxy;
    let receiver: TestReceiver;
    let clinic: TestSchema;
    let store: string;
    let account: TestUser;
    let daemon: DaemonProcess;
    let onReplica: Connection;

    beforeEach(async () => {
      const own = flavour === 'mariadb' ? ['log-slave-updates=ON', 'gtid-strict-mode=ON'] : [];
      [source, replica] = await Promise.all([
        startPrivateServer({ flavour: variant, settings }),
        startPrivateServer({ flavour: variant, settings: [...settings, ...own] }),
      ]);
      onReplica = await createConnection({ uri: replica.url, multipleStatements: true });
      await replicate(onReplica, source, { flavour, gtid });
      clinic = await createSchema(source);
      await loadClinic(await clinic.connect());
      store = `store_${clinic.name}`;
      account = await createUser(source, [
        'REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
        `SELECT ON ${clinic.name}.*`,
        `ALL ON ${store}.*`,
      ]);
      proxy = await startTcpProxy(source);
      receiver = await startTestReceiver();
      const sourceUrl = proxy.through(clinic.url(account));
      daemon = await startDaemonProcess({
        sourceUrl,
        storeUrl: sourceUrl.replace(`/${clinic.name}`, `/${store}`),
        yaml: `
webhooks: [{ name: all, url: "${receiver.url}", events: ["*"], secret: ${testSecret} }]
${receiver.delivery}
`,
      });
      await daemon.untilReady();
    });
    afterEach(async () => {
      await daemon.kill();
      await receiver.stop();
      await proxy.stop();
      onReplica.destroy();
      await Promise.all([source.stop(), replica.stop()]);
    });

    /** Commits one change after another until the server is gone. */
    async function workUntilGone(): Promise<void> {
      const writer = await clinic.connect();
      writer.on('error', () => undefined);
      for (let n = 1; ; n += 1) {
        try {
          await writer.query(
            `START TRANSACTION; ${insert(firstId + n)}; ${touch(firstId + Math.floor(n / 2))}; COMMIT`,
          );
        } catch {
          return;
        }
        await sleep(2);
      }
    }

    async function failOver(): Promise<void> {
      const working = workUntilGone();
      await waitFor(() => receiver.received.length >= 150, {
        timeoutMs: 30_000,
        what: 'events before the failover',
      });
      await source.kill('SIGKILL');
      await working;
      proxy.pointTo(replica);
      // For a while no client can write there, as in a real failover.
      await waitFor(() => daemon.log.some(({ error }) => /read.only/i.test(String(error))), {
        timeoutMs: 30_000,
        what: 'the daemon to be told that the replica is read only',
      });
      await promote(onReplica, { flavour });
      await onReplica.query(`USE ${clinic.name}`);
      for (let n = 0; n < 40; n += 1)
        await onReplica.query(`${insert(2 * firstId + n)}; ${touch(2 * firstId)}`);
    }

    const rowsOf = async <T>(sql: string): Promise<T[]> =>
      (await onReplica.query<RowDataPacket[]>(sql))[0] as T[];

    if (gtid) {
      it('is followed where old connections stay open and lead to the demoted server', async () => {
        await clinic.query(insert(firstId));
        await waitFor(() => told(receiver).has(`patient.created ${firstId}`), { what: 'an event before' });
        await clinic.query(`SET GLOBAL ${flavour === 'mysql' ? 'super_read_only' : 'read_only'} = ON`);
        await promote(onReplica, { flavour });
        proxy.pointTo(replica);
        await onReplica.query(`USE ${clinic.name}; ${insert(2 * firstId)}`);
        await waitFor(() => told(receiver).has(`patient.created ${2 * firstId}`), {
          timeoutMs: 60_000,
          what: 'an event of the promoted server',
        });
        await daemon.untilReady();
      });

      it('is followed: nothing is lost, nothing comes twice', async () => {
        await failOver();
        const patients = await rowsOf<{ id: number; phone: string }>(
          `SELECT id, phone FROM patients WHERE id >= ${firstId}`,
        );
        const expected = patients.flatMap(({ id, phone }) => [
          `patient.created ${id}`,
          ...Array.from({ length: Number(phone) }, (_, i) => `patient.updated ${id} ${i + 1}`),
        ]);
        await waitFor(() => expected.every((each) => told(receiver).has(each)), {
          timeoutMs: 60_000,
          what: 'every change that the replica has',
        });
        // One event each, under one id, whichever server it was read from. What the replica never got may have been sent before.
        expect([...told(receiver)].filter(([, ids]) => ids.size !== 1)).toEqual([]);
        const outbox = await rowsOf<{ event: string; times: number }>(
          // Keys have a collation of their own, which does not pad.
          `SELECT CONCAT(type, ' ', entity_key COLLATE utf8mb4_bin, ' ', body) AS event, COUNT(*) AS times FROM ${store}.event_log GROUP BY 1 HAVING COUNT(*) > 1`,
        );
        expect(outbox).toEqual([]);
        const [count] = await rowsOf<{ events: number }>(`SELECT COUNT(*) AS events FROM ${store}.event_log`);
        expect(count!.events).toBe(expected.length);
        await daemon.untilReady();
        expect(receiver.received.every(({ verified }) => verified)).toBe(true);
      });
    } else {
      it('is refused where old connections stay open, and nothing is read from the promoted server', async () => {
        await clinic.query(insert(firstId));
        await waitFor(() => told(receiver).has(`patient.created ${firstId}`), { what: 'an event before' });
        await clinic.query('SET GLOBAL super_read_only = ON');
        await promote(onReplica, { flavour });
        proxy.pointTo(replica);
        await onReplica.query(`USE ${clinic.name}`);
        for (let n = 0; n < 40; n += 1) await onReplica.query(insert(2 * firstId + n));
        await waitFor(async () => (await daemon.get('/readyz')).body.includes('halted (foreign-server)'), {
          timeoutMs: 60_000,
          what: 'the halt',
        });
        expect(receiver.received.filter(({ data }) => Number(data['patient_id']) >= 2 * firstId)).toEqual([]);
      });

      it('is refused, with the reason: a file and an offset mean nothing on another server', async () => {
        await failOver();
        const answer = await waitFor(
          async () => {
            const { status, body } = await daemon.get('/readyz');
            return status === 503 && body.includes('gtid_mode=ON') ? body : undefined;
          },
          { timeoutMs: 60_000, what: 'the halt' },
        );
        expect(answer).toContain('is not the one that was read before');
        // It is shown before it is on record.
        const halt = await waitFor(
          async () =>
            (await rowsOf<{ halt: object | null }>(`SELECT halt FROM ${store}.checkpoint`))[0]?.halt,
          { timeoutMs: 30_000, what: 'the halt on record' },
        );
        expect(halt).toMatchObject({ reason: 'foreign-server' });
        expect(receiver.received.filter(({ data }) => Number(data['patient_id']) >= 2 * firstId)).toEqual([]);
      });
    }
  },
);

/** The ids under which each change was sent. */
function told({ received }: TestReceiver): Map<string, Set<string>> {
  const ids = new Map<string, Set<string>>();
  for (const { event, data, id } of received) {
    const fields = data['updated_fields'] as { phone: { new: string } } | undefined;
    const text = `${event} ${String(data['patient_id'])} ${fields?.phone.new ?? ''}`.trim();
    ids.set(text, (ids.get(text) ?? new Set()).add(id));
  }
  return ids;
}

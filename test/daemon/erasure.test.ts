import { once } from 'node:events';
import { mkdtemp, rm, writeFile, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { openStore } from '../../src/db/connection/client.ts';
import { openCipher } from '../../src/crypto/cipher.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { openPayloads, type StoredPayload } from '../../src/outbox/payload/payloads.ts';
import { runCli, spawnCli, startDaemonProcess, writeConfig, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const patience = { timeoutMs: 60_000 };

describe.each(flavours)('erasing beside a daemon at work, on %s', (flavour) => {
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let folder: string;
  let keyFile: string;
  let store: string;
  let env: Record<string, string>;

  const start = (): Promise<DaemonProcess> =>
    startDaemonProcess({
      sourceUrl: env['SOURCE_DATABASE_URL']!,
      storeUrl: env['STORE_DATABASE_URL']!,
      store: `store: { url: "\${env:STORE_DATABASE_URL}", key_file: "${keyFile}" }`,
      yaml: `webhooks: [{ name: all, url: "${receiver.url}", events: ["patient.*"], secret: ${testSecret} }]\n${receiver.delivery}`,
    });

  beforeAll(async () => {
    clinic = await createSchema(sharedServer(flavour));
    store = `store_${clinic.name}`;
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    receiver.answer = ({ event, data }) => {
      told.add(`${event} of ${String(data['patient_id'])}`);
      return 204;
    };
    folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
    keyFile = join(folder, 'patients.key');
    env = {
      SOURCE_DATABASE_URL: clinic.url(),
      STORE_DATABASE_URL: `${sharedServer(flavour).url}/${store}`,
    };
    daemon = await start();
    await daemon.untilReady();
  });
  afterAll(async () => {
    await daemon.kill();
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${store}`);
    await clinic.drop();
    await rm(folder, { recursive: true });
  });

  let written = 0;
  const addPatient = async (): Promise<string> => {
    written += 1;
    await clinic.query(
      `INSERT INTO patients (medrecno, first_name, last_name, phone, branch_id)
       VALUES (${9_000_000 + written}, 'Ñusta', 'Borrada', '${written}', 1)`,
    );
    const [row] = await clinic.query(`SELECT id FROM patients WHERE medrecno = ${9_000_000 + written}`);
    return String(row!['id']);
  };
  /** `patient.created of 45` */
  const told = new Set<string>();
  const untilTold = (patient: string, event = 'patient.created'): Promise<unknown> =>
    waitFor(() => told.has(`${event} of ${patient}`), { ...patience, what: `${event} of ${patient}` });

  const keysOf = (patient: string) =>
    clinic.query(`SELECT \`key\`, payload_key FROM ${store}.subject_keys WHERE subject = '${patient}'`);
  /** Whether the file opens what a backup has of a patient's keys. */
  const opens = (rows: Record<string, unknown>[]): boolean => {
    const cipher = openCipher({ encryptionKeys: [], keyFile }).forPatients;
    return rows.some((row) => Object.values(row).some((sealed) => !cipher.isDestroyed(sealed as string)));
  };
  const eraseArgs = (patient: string): string[] => [
    ...['erase', '--patient', patient, '--reason', 'asked', '--yes', '--json'],
    ...['--config', daemon.configFile],
  ];

  /** Erases, and kills it with SIGKILL at the point where it waits for these rows. */
  async function killErase(patient: string, rows: string, arrived: () => Promise<boolean>): Promise<void> {
    const holder = await clinic.connect();
    await holder.query(`BEGIN; SELECT * FROM ${store}.${rows} FOR UPDATE`);
    const child = spawnCli(eraseArgs(patient), env);
    await waitFor(arrived, { ...patience, what: `the erasure of ${patient} to wait` });
    child.kill('SIGKILL');
    await once(child, 'close');
    await holder.query('ROLLBACK');
  }

  it(
    'loses no event, wherever an erasure is killed, and opens no backup of an erased patient',
    { timeout: 240_000 },
    async () => {
      const erased: string[] = [];
      for (let n = 0; n < 3; n += 1) erased.push(await addPatient());
      await Promise.all(erased.map((patient) => untilTold(patient)));
      const backups = await Promise.all(erased.map(keysOf));
      expect(backups.map(opens)).toEqual([true, true, true]);

      let writing = true;
      const others: string[] = [];
      const writer = (async () => {
        while (writing) {
          const oldest = others.at(-2);
          if (oldest !== undefined) await untilTold(oldest);
          others.push(await addPatient());
        }
      })();

      const [whole, beforeFile, beforeRows] = erased as [string, string, string];
      const done = await runCli(eraseArgs(whole), env);
      expect(done).toMatchObject({ code: 0, stderr: '' });
      expect(JSON.parse(done.stdout)).toMatchObject({ events: 1, key_file: keyFile });
      expect(opens(backups[0]!)).toBe(false);

      await killErase(beforeFile, 'installation', async () => (await keysOf(beforeFile)).length === 0);
      // The running daemon finishes it.
      await waitFor(() => !opens(backups[1]!), { ...patience, what: 'the key to be destroyed' });

      await killErase(beforeRows, `event_log WHERE subject = '${beforeRows}'`, () =>
        Promise.resolve(!opens(backups[2]!)),
      );
      // The rows' contents cannot be opened; run again, the erasure removes them.
      for (const patient of [beforeFile, beforeRows]) {
        expect(await runCli(eraseArgs(patient), env)).toMatchObject({ code: 0 });
      }

      // A daemon that is killed, and finds what a killed writer of the file left.
      await daemon.kill();
      await writeFile(`${keyFile}.0123456789ab.unfinished`, await readFile(keyFile), { mode: 0o600 });
      daemon = await start();
      await clinic.query(`UPDATE patients SET status = 'inactive' WHERE id IN (${erased.join(',')})`);
      await Promise.all(erased.map((patient) => untilTold(patient, 'patient.status_changed')));
      writing = false;
      await writer;
      expect(others.length).toBeGreaterThan(20);
      await Promise.all(others.map((patient) => untilTold(patient)));

      expect(backups.map(opens)).toEqual([false, false, false]);
      const opened = await openAll();
      expect(opened.filter(({ kind }) => kind !== 'readable')).toEqual([]);
      expect(opened.length).toBeGreaterThanOrEqual(others.length + erased.length);
      const verified = await runCli(['audit', 'verify', '--config', daemon.configFile], env);
      expect(verified).toMatchObject({ code: 0, stderr: '' });
      expect(verified.stdout).toContain('erased on record.');
    },
  );

  /** What becomes of every payload that is there. */
  async function openAll() {
    const connection = openStore(parseDatabaseUrl(env['STORE_DATABASE_URL']!));
    try {
      const rows = await connection.rows<StoredPayload>(
        'SELECT id AS eventId, seq AS eventSeq, subject, body AS payload FROM event_log WHERE body IS NOT NULL',
      );
      return await openPayloads(connection, openCipher({ encryptionKeys: [], keyFile }), rows);
    } finally {
      await connection.close();
    }
  }

  it('does not start without the key file, and says what to do', async () => {
    const config = await writeConfig(
      `source: { url: "\${env:SOURCE_DATABASE_URL}" }\nhttp: { listen: "127.0.0.1:0" }\n` +
        `store: { url: "\${env:STORE_DATABASE_URL}", key_file: "another host.key" }\n`,
    );
    try {
      const refused = await runCli(['run', '--config', config.file], env);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/another host\.key is not there/);
      expect(refused.stderr).toContain('Every daemon on this store needs the same file');
    } finally {
      await config.remove();
    }
  });
});

import { writeFile } from 'node:fs/promises';
import { join, dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readUnsealedAge } from '../../src/audit/seal/unsealed-age.ts';
import { loadClinic } from '../../src/demo/clinic.ts';
import { openStore, type Store } from '../../src/db/connection/client.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { checkOwnEvent } from '../support/check-own-event.ts';
import { runCli, startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type Received, type TestReceiver } from '../support/receiver.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

describe.each(flavours)('audit.sealed on %s', (flavour) => {
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let store: string;
  let audited: Store;

  beforeAll(async () => {
    clinic = await createSchema(sharedServer(flavour));
    store = `store_${clinic.name}`;
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    const webhook = (name: string, events: string): string =>
      `  - { name: ${name}, url: "${receiver.url}/${name}", secret: ${testSecret}, events: [${events}] }\n`;
    daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: clinic.url().replace(clinic.name, store),
      // With payloads encrypted at rest: what is sent is in the clear.
      store: `store: { url: "\${env:STORE_DATABASE_URL}", encryption_key: "${'ab'.repeat(32)}" }`,
      yaml: `audit: { seal_interval: 1s }\n${receiver.delivery}\nwebhooks:\n${webhook('notary', 'audit.sealed')}${webhook('all', '"*"')}`,
    });
    await daemon.untilReady();
    audited = openStore(parseDatabaseUrl(clinic.url().replace(clinic.name, store)), { connections: 1 });
  });
  afterAll(async () => {
    await audited.close();
    await daemon.stop();
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${store}`);
    await clinic.drop();
  });

  const heads = (): Received[] => receiver.received.filter(({ path }) => path.endsWith('/notary'));
  const head = (from: number): Promise<Received> =>
    waitFor(() => heads().find(({ data }) => Number(data['number']) >= from), {
      timeoutMs: 60_000,
      what: `the head of seal ${from} or a later one`,
    });
  const seals = async (): Promise<number> =>
    Number((await clinic.query(`SELECT MAX(number) AS last FROM ${store}.seals`))[0]!['last'] ?? 0);
  const verify = (file: string) =>
    runCli(['audit', 'verify', '--head', file, '--config', daemon.configFile, '--json'], {
      SOURCE_DATABASE_URL: clinic.url(),
      STORE_DATABASE_URL: clinic.url().replace(clinic.name, store),
    });

  it('brings each head, signed, in order and only to who names it, and is no cause of the next seal', async () => {
    await clinic.query("UPDATE patients SET status = 'inactive' WHERE id = 1");
    await waitFor(() => receiver.received.some(({ event }) => event === 'patient.status_changed'));
    // Until the log is at rest: all is delivered, and nothing but attempts to deliver heads is without a seal.
    const last = await waitFor(
      async () => {
        const [rest] = await clinic.query(`SELECT COUNT(*) AS owed FROM ${store}.queue`);
        if (rest!['owed'] !== 0 || (await readUnsealedAge(audited)).ageMs > 0) return false;
        const number = await seals();
        return heads().some(({ data }) => data['number'] === number) && number;
      },
      { timeoutMs: 60_000, what: 'the log to be at rest' },
    );
    heads().forEach(checkOwnEvent);
    await waitFor(async () => {
      const rows = await clinic.query(
        `SELECT a.id FROM ${store}.attempts a
         WHERE a.id > (SELECT JSON_EXTRACT(s.progress, '$.attempts.to') FROM ${store}.seals s ORDER BY s.number DESC LIMIT 1)`,
      );
      return rows.length === 1;
    });
    expect(heads().map(({ data }) => data['number'])).toEqual(
      Array.from({ length: Number(last) }, (_, n) => n + 1),
    );
    expect(heads().every(({ verified }) => verified)).toBe(true);
    expect(
      receiver.received.filter(({ path, event }) => path.endsWith('/all') && event.startsWith('audit.')),
    ).toEqual([]);

    // Something else: the attempts that waited are sealed with it.
    expect((await daemon.get('/api/deliveries/1')).status).toBe(200);
    const next = await head(Number(last) + 1);
    expect(next.data).toMatchObject({ number: Number(last) + 1, entries: 4 });
    expect(await seals()).toBe(Number(last) + 1);
  });

  it('brings what `audit verify --head` takes as it came, and what finds a rewrite of everything', async () => {
    const received = heads().at(-1)!;
    const file = join(dirname(daemon.configFile), 'sealed.json');
    await writeFile(file, received.body);
    const verified = await verify(file);
    expect(JSON.parse(verified.stdout)).toMatchObject({ ok: true, head_compared: true });
    expect(verified.code).toBe(0);

    await clinic.query(`DELETE FROM ${store}.seals WHERE number = ${Number(received.data['number'])}`);
    const found = await verify(file);
    expect(found.code).toBe(1);
    expect(JSON.parse(found.stdout)).toMatchObject({ ok: false, flaw: { kind: 'truncated' } });
    await writeFile(file, received.body.replace(/"entries":\d+/, '"entries":77'));
    expect(await verify(file)).toMatchObject({ code: 2, stderr: expect.stringContaining('edited') });
  });
});

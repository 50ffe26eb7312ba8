import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { openStore, type Store } from '../../src/db/connection/client.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { runCli, startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

/** Path of the receiver by name of a webhook. */
type File = Record<string, string>;

describe.each(flavours)('two daemons with different files on one store, on %s', (flavour) => {
  const server = sharedServer(flavour);
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let store: Store;
  let storeUrl: string;
  let storeName: string;
  let daemons: DaemonProcess[];
  let patients = 0;

  beforeEach(async () => {
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    storeName = `store_${randomBytes(5).toString('hex')}`;
    storeUrl = clinic.url().replace(clinic.name, storeName);
    store = openStore(parseDatabaseUrl(storeUrl));
    daemons = [];
  });
  afterEach(async () => {
    await Promise.all(daemons.map((daemon) => daemon.kill()));
    await store.close();
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${storeName}`);
    await clinic.drop();
  });

  const webhooksYaml = (file: File): string =>
    `webhooks:${Object.entries(file)
      .map(
        ([name, path]) =>
          `\n  - { name: ${name}, url: "${receiver.url}/${path}", secret: ${testSecret}, events: ["patient.created"] }`,
      )
      .join('')}\n`;

  async function start(file: File): Promise<DaemonProcess> {
    const daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl,
      yaml: `${receiver.delivery}\n${webhooksYaml(file)}`,
    });
    daemons.push(daemon);
    await daemon.untilReady();
    return daemon;
  }

  /** Edits the file of a daemon and has it read. */
  async function edit(daemon: DaemonProcess, file: File): Promise<void> {
    const reloads = (): number => daemon.log.filter(({ msg }) => msg === 'configuration reloaded').length;
    const before = reloads();
    const text = await readFile(daemon.configFile, 'utf8');
    await writeFile(daemon.configFile, text.slice(0, text.indexOf('webhooks:')) + webhooksYaml(file));
    process.kill(daemon.pid, 'SIGHUP');
    await waitFor(() => reloads() > before, { timeoutMs: 60_000, what: 'the edit to be taken' });
  }

  /** Where each active webhook of the store is sent. */
  async function inForce(): Promise<File> {
    const rows = await store.rows<{ name: string; url: string }>(
      'SELECT name, url FROM webhooks WHERE is_active ORDER BY name',
    );
    return Object.fromEntries(rows.map(({ name, url }) => [name, url.slice(url.lastIndexOf('/') + 1)]));
  }

  const untilInForce = (file: File): Promise<unknown> =>
    waitFor(async () => JSON.stringify(await inForce()) === JSON.stringify(file), {
      timeoutMs: 60_000,
      what: `the webhooks ${JSON.stringify(file)}`,
    });

  /** Until the daemon works by webhooks as it has read them, with so many problems of this one. */
  const untilProblems = (daemon: DaemonProcess, webhook: string, count: number): Promise<unknown> =>
    waitFor(
      async () =>
        (await daemon.get('/metrics')).body.includes(`webhook_problems{webhook="${webhook}"} ${count}`),
      { timeoutMs: 60_000, what: `${count} problems of ${webhook}` },
    );

  /** A patient is created: where its event comes. */
  async function sentTo(...paths: string[]): Promise<void> {
    patients += 1;
    const name = `Paciente ${patients}`;
    await clinic.query(
      "INSERT INTO patients (medrecno, first_name, last_name, branch_id) VALUES (?, ?, 'Peña', 2)",
      [900_000 + patients, name],
    );
    const arrived = (): string[] =>
      receiver.received
        .filter(({ data }) => data['first_name'] === name)
        .map(({ path }) => path.slice(path.lastIndexOf('/') + 1));
    await waitFor(() => arrived().length >= paths.length, { timeoutMs: 60_000, what: 'the event' });
    expect(arrived().toSorted()).toEqual(paths.toSorted());
  }

  const logged = (daemon: DaemonProcess, webhook: string, words: string): number =>
    daemon.log.filter((line) => line['webhook'] === webhook && String(line['msg']).includes(words)).length;
  const refused = 'the one of this file is not used until that daemon ends';
  const problem = 'the files of two running daemons define it differently';

  it(
    'the second is refused by name, with a problem everywhere, and takes over when the first ends',
    { timeout: 180_000 },
    async () => {
      const first = await start({ labs: 'first', only: 'only' });
      const second = await start({ labs: 'second', own: 'own' });
      expect(await inForce()).toEqual({ labs: 'first', only: 'only', own: 'own' });
      expect(logged(second, 'labs', refused)).toBe(1);
      expect(logged(second, 'own', refused)).toBe(0);
      expect(logged(second, 'only', 'stays active')).toBe(1);

      for (const daemon of [first, second]) {
        await untilProblems(daemon, 'labs', 1);
        await untilProblems(daemon, 'own', 0);
        expect((await daemon.get('/api/webhooks')).body).toContain(problem);
      }
      await sentTo('first', 'only', 'own');
      const env = { SOURCE_DATABASE_URL: clinic.url(), STORE_DATABASE_URL: storeUrl };
      const cli = async (...args: string[]): Promise<string> =>
        (await runCli([...args, '--config', second.configFile], env)).stdout;
      expect(await cli('webhooks', 'list')).toContain(`(labs): ${problem}`);
      expect(await cli('status')).toContain(`(labs): ${problem}`);
      expect(await cli('check')).toContain('A running daemon uses another definition of: labs.');

      // Read again without an edit, and edited without one of its name: nothing is deactivated, and nothing is said twice.
      await edit(first, { labs: 'first', only: 'only' });
      await edit(second, { labs: 'second', own: 'own' });
      expect(await inForce()).toEqual({ labs: 'first', only: 'only', own: 'own' });
      expect(logged(second, 'labs', refused)).toBe(1);
      expect(logged(second, 'only', 'stays active')).toBe(1);

      // What the first alone has in its file stays for 30 s: the first may be restarting.
      await first.stop();
      await untilInForce({ labs: 'second', only: 'only', own: 'own' });
      await waitFor(() => logged(second, 'labs', 'no longer refused') === 1);
      await untilProblems(second, 'labs', 0);
      await sentTo('second', 'only', 'own');
      expect(await cli('check')).not.toContain('A running daemon uses another definition');

      // Started again, the first is the second.
      const again = await start({ labs: 'first', only: 'only' });
      expect(await inForce()).toEqual({ labs: 'second', only: 'only', own: 'own' });
      expect(logged(again, 'labs', refused)).toBe(1);
      // The second, which captures, reads the webhooks.
      await edit(second, { labs: 'second', own: 'own' });
      await sentTo('second', 'only', 'own');
      expect(logged(second, 'only', 'left the file and is inactive')).toBe(0);
    },
  );

  it('the second takes over when the first is killed', { timeout: 180_000 }, async () => {
    const first = await start({ labs: 'first' });
    const second = await start({ labs: 'second' });
    await sentTo('first');
    await first.kill();
    await untilInForce({ labs: 'second' });
    await untilProblems(second, 'labs', 0);
    await sentTo('second');
    expect(second.stderr()).toBe('');
  });

  it('the first continues when the second ends', { timeout: 180_000 }, async () => {
    const first = await start({ labs: 'first' });
    const second = await start({ labs: 'second' });
    await second.stop();
    await waitFor(async () => !(await first.get('/api/webhooks')).body.includes(problem), {
      timeoutMs: 30_000,
      what: 'the problem to be gone',
    });
    expect(await inForce()).toEqual({ labs: 'first' });
    await sentTo('first');
  });

  it(
    'copies of one file are no conflict; they are edited one after the other, and a webhook ends when both have dropped it',
    { timeout: 180_000 },
    async () => {
      const first = await start({ labs: 'labs', pagos: 'pagos' });
      const second = await start({ labs: 'labs', pagos: 'pagos' });
      expect((await second.get('/api/webhooks')).body).not.toContain(problem);
      expect(second.log.filter(({ level }) => Number(level) >= 40)).toEqual([]);

      await edit(first, { labs: 'moved' });
      expect(await inForce()).toEqual({ labs: 'labs', pagos: 'pagos' });
      expect(logged(first, 'labs', refused)).toBe(1);
      expect(logged(first, 'pagos', 'stays active')).toBe(1);
      await sentTo('labs', 'pagos');

      await edit(second, { labs: 'moved' });
      expect(await inForce()).toEqual({ labs: 'moved' });
      expect(logged(second, 'pagos', 'left the file and is inactive')).toBe(1);
      await waitFor(() => logged(first, 'labs', 'no longer refused') === 1);
      await untilProblems(first, 'labs', 0);
      await sentTo('moved');
    },
  );

  it(
    'an edit by SQL of a webhook that one of them defines is put back by that one',
    { timeout: 180_000 },
    async () => {
      await start({ labs: 'first', only: 'only' });
      await start({ labs: 'second' });
      for (const name of ['labs', 'only']) {
        await store.run("UPDATE webhooks SET url = CONCAT(url, '-evil') WHERE name = ?", [name]);
        await untilInForce({ labs: 'first', only: 'only' });
      }
      await sentTo('first', 'only');
      const acts = await store.rows<{ action: string }>(
        "SELECT action FROM audit_log WHERE action = 'webhook.put-back'",
      );
      expect(acts).toHaveLength(2);
    },
  );
});

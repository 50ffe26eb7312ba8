import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createConnection, type Connection } from 'mysql2/promise';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { runCli, startDaemonProcess, type CliResult, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, servers, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const packetBytes = 2 ** 20;

interface Size {
  name: string;
  bytes: number;
  /** Columns with a document of so many bytes. */
  columns: readonly string[];
}

const sizes: readonly Size[] = [
  // It just fits into a packet, where MySQL's own text of it, with a space behind each comma, does not.
  { name: 'as large as', bytes: packetBytes - 60_000, columns: ['events'] },
  {
    name: 'with four documents, each larger than',
    bytes: packetBytes + 60_000,
    columns: ['events', 'filter', 'fields', 'headers'],
  },
];

describe.each(servers)('a webhook row %s', { timeout: 180_000 }, (variant) => {
  let server: PrivateServer;
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let options: Parameters<typeof startDaemonProcess>[0];
  /** A session with the packets of before. */
  let large: Connection;

  beforeAll(async () => {
    server = await startPrivateServer({ flavour: variant });
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    options = {
      sourceUrl: clinic.url(),
      storeUrl: clinic.url().replace(clinic.name, 'hooks'),
      yaml: `
webhooks: [{ name: good, url: "${receiver.url}", events: [patient.created], secret: ${testSecret} }]
audit: { seal_interval: 1s }
${receiver.delivery}`,
    };
    daemon = await startDaemonProcess(options);
    await daemon.untilReady();
    large = await createConnection(`${server.url}/hooks`);
    await clinic.query(`SET GLOBAL max_allowed_packet = ${packetBytes}`);
  });
  afterAll(async () => {
    large.destroy();
    await daemon.kill();
    await receiver.stop();
    await clinic.drop();
    await server.stop();
  });

  const cli = (...args: string[]): Promise<CliResult> =>
    runCli([...args, '--config', daemon.configFile], {
      SOURCE_DATABASE_URL: clinic.url(),
      STORE_DATABASE_URL: clinic.url().replace(clinic.name, 'hooks'),
    });

  const problemsOf = async (name: string): Promise<number> => {
    const { body } = await daemon.get('/metrics');
    return Number(new RegExp(`webhook_problems\\{webhook="${name}"\\} (\\d+)`).exec(body)?.[1] ?? 0);
  };

  it.each(sizes)('$name a packet is one bad row, on record once', async ({ name: size, bytes, columns }) => {
    // No column can be read, whether a session reads the whole of it or not: it has the same problems for all.
    const names = JSON.stringify([...Array.from({ length: bytes / 6 }, () => 'a.b'), 1]);
    await large.query(
      `INSERT INTO webhooks (name, url, secret, ${columns.join(', ')}) VALUES (?, ?, ?${', ?'.repeat(columns.length)})`,
      [size, receiver.url, testSecret, ...columns.map(() => names)],
    );
    // Sessions with the packets of before read the whole of it: seconds of work where the machine is busy.
    await waitFor(async () => (await problemsOf(size)) > 0, { timeoutMs: 90_000, what: 'its problems' });
    const problems = await problemsOf(size);
    const list = await cli('webhooks', 'list');
    expect(list).toMatchObject({ code: 0, stderr: '' });
    expect(list.stdout).toMatch(new RegExp(`\\(${size}\\): events .*are not queued`));
    for (const command of ['status', 'check']) expect(await cli(command)).toMatchObject({ code: 0 });
    await clinic.query(
      "INSERT INTO patients (medrecno, first_name, last_name, branch_id) VALUES (?, 'Ana', 'Peña', 2)",
      [bytes],
    );
    await waitFor(() => receiver.received.some(({ data }) => Number(data['medrecno']) === bytes));
    // An edit of the row alone is seen too.
    await large.query('UPDATE webhooks SET timeout_ms = 0, updated_at = updated_at WHERE name = ?', [size]);
    await waitFor(async () => (await problemsOf(size)) === problems + 1);
    // With such a row a daemon also starts.
    const another = await startDaemonProcess(options);
    await another.untilReady();
    expect(await another.stop()).toBe(0);
    expect(await cli('audit', 'verify')).toMatchObject({ code: 0, stderr: '' });
    expect(await cli('webhooks', 'delete', size, '--yes')).toMatchObject({ code: 0, stderr: '' });
    expect(await cli('audit', 'verify')).toMatchObject({ code: 0, stderr: '' });
    const acts = await clinic.query(
      'SELECT action, actor FROM hooks.audit_log WHERE target = (SELECT MAX(id) FROM hooks.webhooks) ORDER BY id',
    );
    const told = acts.map(({ action, actor }) => `${String(action)} by ${String(actor)}`);
    expect(told.filter((each) => !each.startsWith('webhook.missed'))).toEqual([
      'webhook.create by SQL',
      'webhook.update by SQL',
      expect.stringMatching(/^webhook\.delete by /),
    ]);
    const { body } = await daemon.get('/readyz');
    expect(JSON.parse(body)).toMatchObject({ status: 'ready' });
  });
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import {
  authority,
  certificate,
  key,
  renewedAuthority,
  renewedCertificate,
} from '../hostile/certificates.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, createUser, servers, type TestSchema, type TestUser } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

/** A container may have none. */
const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((each) => each?.address === '::1');

describe.each(servers)('a daemon that reaches %s', { timeout: 120_000 }, (variant) => {
  let folder: string;
  let server: PrivateServer;
  let account: TestUser;
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess | undefined;

  const writeCertificates = async (ca: string, cert: string): Promise<void> => {
    const files = { 'ca.pem': ca, 'cert.pem': cert, 'key.pem': key };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
    await writeCertificates(authority, certificate);
    server = await startPrivateServer({
      flavour: variant,
      settings: [
        'bind-address=*',
        ...['ca', 'cert', 'key'].map((part) => `ssl-${part}=${join(folder, `${part}.pem`)}`),
      ],
    });
    account = await createUser(server, ['ALL PRIVILEGES ON *.*']);
  });
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  });
  beforeEach(async () => {
    clinic = await createSchema(
      server,
      'CREATE TABLE inventory (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100), stock INT, min_stock INT)',
    );
    receiver = await startTestReceiver();
  });
  afterEach(async () => {
    await daemon?.kill();
    daemon = undefined;
    await receiver.stop();
    await clinic.drop();
  });

  /** Source and store by URLs of the same form. */
  async function start(place: string, options = ''): Promise<void> {
    const url = (schema: string): string =>
      `mysql://${account.user}:${account.password}@${place}/${schema}${options}`;
    daemon = await startDaemonProcess({
      sourceUrl: url(clinic.name),
      storeUrl: url(`store_${clinic.name}`),
      yaml: `
webhooks: [{ name: all, url: "${receiver.url}", events: ["*"], secret: ${testSecret} }]
${receiver.delivery}`,
    });
    await daemon.untilReady();
  }

  const untilReceived = async (name: string): Promise<void> => {
    await clinic.query('INSERT INTO inventory (name, stock, min_stock) VALUES (?, 1, 5)', [name]);
    await waitFor(() => receiver.received.some(({ data }) => data['name'] === name), {
      timeoutMs: 30_000,
      what: name,
    });
  };

  const ownSessions = async (): Promise<{ id: number; command: string }[]> =>
    (await clinic.sessions()).filter(({ user }) => user === account.user);

  if (hasIpv6) {
    it('over IPv6 delivers what it reads', async () => {
      await start(`[::1]:${server.port}`);
      await untilReceived('over IPv6');
      const rows = await clinic.query('SHOW FULL PROCESSLIST');
      const hosts = rows
        .filter(({ User: user }) => user === account.user)
        .map(({ Host: host }) => String(host));
      expect(hosts.length).toBeGreaterThan(1);
      expect(hosts.filter((host) => host.startsWith('127.0.0.1'))).toEqual([]);
    });
  }

  it('over a Unix socket delivers what it reads, also after the server restarted', async () => {
    await start('localhost', `?socket=${server.socketPath}`);
    await untilReceived('over a socket');
    await server.restart();
    await clinic.reconnect();
    await untilReceived('after the restart');
    const rows = await clinic.query('SHOW FULL PROCESSLIST');
    const hosts = rows
      .filter(({ User: user }) => user === account.user)
      .map(({ Host: host }) => String(host));
    expect(hosts.length).toBeGreaterThan(1);
    // A TCP connection has a port.
    expect(hosts.filter((host) => host.includes(':'))).toEqual([]);
  });

  it('under a certificate that is renewed by another authority while it runs', async () => {
    await start(`127.0.0.1:${server.port}`, `?ssl=verify-ca&ssl-ca=${join(folder, 'ca.pem')}`);
    await untilReceived('under the first');
    const before = await ownSessions();
    await writeCertificates(renewedAuthority, renewedCertificate);
    await clinic.query(variant === 'mysql' ? 'ALTER INSTANCE RELOAD TLS' : 'FLUSH SSL');
    for (const { id } of before) await clinic.query(`KILL ${id}`).catch(() => undefined);
    await untilReceived('under the second');
    const again = (await ownSessions()).filter(({ id }) => !before.some((each) => each.id === id));
    expect(again.some(({ command }) => command.startsWith('Binlog Dump'))).toBe(true);
    // Without the authority's new file the server would not be trusted.
    await writeCertificates(authority, certificate);
    await clinic.query(variant === 'mysql' ? 'ALTER INSTANCE RELOAD TLS' : 'FLUSH SSL');
  });
});

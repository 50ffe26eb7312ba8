import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PrivateServer } from '../../src/demo/private-server.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startEncryptedServer } from '../support/encrypted-server.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, servers, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

describe.each(servers)('the encrypted log of %s', { timeout: 120_000 }, (variant) => {
  let server: PrivateServer;
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  beforeAll(async () => {
    server = await startEncryptedServer(variant);
    clinic = await createSchema(
      server,
      'CREATE TABLE inventory (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100), stock INT, min_stock INT)',
    );
    receiver = await startTestReceiver();
    daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: `${server.url}/store_${clinic.name}`,
      yaml: `
webhooks: [{ name: all, url: "${receiver.url}", events: ["*"], secret: ${testSecret} }]
${receiver.delivery}`,
    });
    await daemon.untilReady();
  }, 120_000);
  afterAll(async () => {
    await daemon.kill();
    await receiver.stop();
    await server.stop();
  });

  const untilReceived = async (name: string): Promise<void> => {
    await clinic.query('INSERT INTO inventory (name, stock, min_stock) VALUES (?, 1, 5)', [name]);
    await waitFor(() => receiver.received.some(({ data }) => data['name'] === name), {
      timeoutMs: 30_000,
      what: name,
    });
  };

  it('is read, over a new file and a restart of the server too', async () => {
    await untilReceived('marca-cifrada-1');
    await clinic.query('FLUSH BINARY LOGS');
    await untilReceived('marca-cifrada-2');
    await server.restart();
    await clinic.reconnect();
    await untilReceived('marca-cifrada-3');
    expect(receiver.received.map(({ data }) => data['name'])).toEqual([
      'marca-cifrada-1',
      'marca-cifrada-2',
      'marca-cifrada-3',
    ]);
    const files = (await clinic.query('SHOW BINARY LOGS')).map((row) => String(row['Log_name']));
    expect(files.length).toBeGreaterThanOrEqual(3);
    for (const file of files) {
      const bytes = await readFile(join(server.dataDir, file));
      expect(bytes.includes('marca-cifrada'), file).toBe(false);
    }
  });
});

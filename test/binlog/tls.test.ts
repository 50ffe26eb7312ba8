import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { authority, certificate, key } from '../hostile/certificates.ts';
import { byName, endOfLog, openReader, takeRows } from '../support/read-log.ts';
import {
  createSchema,
  createUser,
  servers,
  sharedServer,
  type TestSchema,
  type TestUser,
} from '../support/server.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

describe.each(servers)('the log of %s over an encrypted connection', (variant) => {
  const { flavour } = sharedServer(variant);
  let folder: string;
  let server: PrivateServer;
  let proxy: TcpProxy;
  let schema: TestSchema;
  let account: TestUser;
  let passed: Buffer[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
    const files = { 'ca.pem': authority, 'cert.pem': certificate, 'key.pem': key };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    server = await startPrivateServer({
      flavour: variant,
      settings: ['ca', 'cert', 'key'].map((part) => `ssl-${part}=${join(folder, `${part}.pem`)}`),
    });
    schema = await createSchema(server, 'CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, text LONGTEXT)');
    account = await createUser(server, [
      'REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
      `SELECT ON ${schema.name}.*`,
    ]);
    proxy = await startTcpProxy(server);
    proxy.tap((chunk) => passed.push(chunk));
  });
  afterAll(async () => {
    await proxy.stop();
    await server.stop();
    await rm(folder, { recursive: true });
  });

  /** Reads a row of 5 MB as the user, who logs in for the first time since the server forgot the password's short form. */
  async function readWith(options: string): Promise<void> {
    passed = [];
    await schema.query('FLUSH PRIVILEGES');
    const position = await endOfLog(flavour, schema);
    const url = `${proxy.through(schema.url(account))}${options}`;
    const stream = await openReader({
      flavour,
      schema,
      position,
      watch: { t: ['text'] },
      url,
      heartbeatMs: 500,
    });
    await schema.query("INSERT INTO t (text) VALUES (REPEAT('marca-privada', 400000))");
    const [row] = await takeRows(stream, 1);
    stream.close();
    expect(byName(row!, 'after')['text']).toHaveLength(13 * 400_000);
  }

  const shows = (text: string): boolean => Buffer.concat(passed).includes(text);

  it.each([
    ['unverified', () => '?ssl=skip-verify'],
    ['under a named authority', () => `?ssl=verify-ca&ssl-ca=${join(folder, 'ca.pem')}`],
  ])('is read, and nothing of it can be overheard: %s', async (_name, options) => {
    await readWith(options());
    expect(shows('marca-privada')).toBe(false);
  });

  it('is refused from a server whose certificate has no known authority', async () => {
    const url = `${proxy.through(schema.url(account))}?ssl=true`;
    await expect(openReader({ flavour, schema, watch: { t: ['text'] }, url })).rejects.toMatchObject({
      code: 'ERR_SOURCE_UNREACHABLE',
      message: expect.stringContaining('is not trusted') as string,
    });
  });

  it('is read in the clear when the URL asks for no encryption, the password hidden all the same', async () => {
    await readWith('');
    expect(shows('marca-privada')).toBe(true);
    expect(shows(account.password)).toBe(false);
  });

  if (flavour === 'mysql') {
    it('uses the plugin under test', async () => {
      const [row] = await schema.query('SELECT plugin FROM mysql.user WHERE user = ?', [account.user]);
      expect(row!['plugin']).toBe('caching_sha2_password');
    });
  }
});

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSource } from '../../src/binlog/source/source.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { openStore } from '../../src/db/connection/client.ts';
import { migrateStore } from '../../src/db/schema/migrate.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { authority, certificate, key } from '../hostile/certificates.ts';
import { byName, openReader, takeRows } from '../support/read-log.ts';
import { createSchema, servers, sharedServer, type TestSchema } from '../support/server.ts';

describe.each(servers)('ways to reach %s', (variant) => {
  const { flavour } = sharedServer(variant);
  let folder: string;
  let server: PrivateServer;
  let schema: TestSchema;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
    const files = { 'ca.pem': authority, 'cert.pem': certificate, 'key.pem': key };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    server = await startPrivateServer({
      flavour: variant,
      settings: [
        'bind-address=127.0.0.1,::1',
        ...['ca', 'cert', 'key'].map((part) => `ssl-${part}=${join(folder, `${part}.pem`)}`),
        ...(flavour === 'mysql' ? ['plugin-load-add=auth_socket.so'] : []),
      ],
    });
    schema = await createSchema(
      server,
      'CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, text VARCHAR(20))',
    );
  });
  afterAll(async () => {
    await schema.drop();
    await server.stop();
    await rm(folder, { recursive: true });
  });

  /** Reads a row of the log, asks the source, makes and uses a store, all by one URL. */
  async function useAll(url: string): Promise<void> {
    const stream = await openReader({ flavour, schema, watch: { t: ['text'] }, url });
    await schema.query("INSERT INTO t (text) VALUES ('reached')");
    const [row] = await takeRows(stream, 1);
    stream.close();
    expect(byName(row!, 'after')['text']).toBe('reached');
    await useServer(url);
  }

  async function useServer(url: string): Promise<void> {
    const source = openSource(parseDatabaseUrl(url));
    expect(await source.identify()).toMatchObject({ flavour });
    await source.close();
    const storeUrl = parseDatabaseUrl(url.replace(schema.name, `${schema.name}_store`));
    await migrateStore(storeUrl);
    const store = openStore(storeUrl);
    expect(await store.rows('SELECT id FROM checkpoint')).toEqual([{ id: 1 }]);
    await store.run(`DROP DATABASE ${schema.name}_store`);
    await store.close();
  }

  it('is reached over IPv6', async () => {
    const [row] = await schema.query(
      "SELECT COUNT(*) AS n FROM mysql.user WHERE user = 'root' AND host = '::1'",
    );
    if (row!['n'] === 0)
      await schema.query("CREATE USER root@'::1'; GRANT ALL ON *.* TO root@'::1' WITH GRANT OPTION");
    await useAll(`mysql://root@[::1]:${server.port}/${schema.name}`);
  });

  it('is reached by a Unix socket, with a password and by the name of the process', async () => {
    await schema.query(
      "CREATE USER locked@localhost IDENTIFIED BY 'contraseña'; GRANT ALL ON *.* TO locked@localhost",
    );
    const socket = `@localhost/${schema.name}?socket=${server.socketPath}`;
    await useAll(`mysql://root${socket}`);
    await useAll(`mysql://locked:contrase%C3%B1a${socket}`);
    const { username } = userInfo();
    // MariaDB before 11.6 lets in the user of the same name only.
    const [peer, plugin] =
      flavour === 'mysql' ? ['peer', `WITH auth_socket AS '${username}'`] : [username, 'VIA unix_socket'];
    await schema.query(`CREATE USER IF NOT EXISTS ${peer}@localhost; GRANT ALL ON *.* TO ${peer}@localhost;
      ALTER USER ${peer}@localhost IDENTIFIED ${plugin}`);
    await useServer(`mysql://${peer}${socket}`);
    if (flavour === 'mariadb') await schema.query(`ALTER USER ${peer}@localhost IDENTIFIED BY ''`);
  });

  it('is named by its socket where it cannot be reached', async () => {
    const source = openSource(parseDatabaseUrl(`mysql://root@localhost/x?socket=${folder}/none.sock`));
    await expect(source.identify()).rejects.toMatchObject({
      code: 'ERR_SOURCE_UNREACHABLE',
      message: `Nothing listens on ${folder}/none.sock.`,
      retryable: true,
    });
    await source.close();
  });

  it('is reached again after its authority was replaced, without a restart', async () => {
    const file = join(folder, 'trusted.pem');
    await writeFile(file, rootCertificates[0]!);
    const source = openSource(parseDatabaseUrl(`${schema.url()}?ssl=verify-ca&ssl-ca=${file}`));
    await expect(source.identify()).rejects.toMatchObject({ code: 'ERR_SOURCE_UNREACHABLE' });
    await writeFile(file, await readFile(join(folder, 'ca.pem')));
    expect(await source.identify()).toMatchObject({ flavour });
    await source.close();
  });
});

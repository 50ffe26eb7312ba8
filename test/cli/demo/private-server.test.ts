import { access, chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { once } from 'node:events';
import { createConnection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startPrivateServer, type PrivateServer } from '../../../src/demo/private-server.ts';
import { isAlive } from '../../../src/demo/file-lock.ts';
import { resolveServerBinary } from '../../../src/demo/server-binaries.ts';
import { createSchema, createUser, flavours, sharedServer } from '../../support/server.ts';
import { waitFor } from '../../support/wait-for.ts';

async function ask(url: string, sql: string): Promise<Record<string, unknown>> {
  const connection = await createConnection(url);
  try {
    const [rows] = await connection.query(sql);
    return (rows as Record<string, unknown>[])[0]!;
  } finally {
    await connection.end();
  }
}

const gone = (path: string): Promise<boolean> =>
  access(path).then(
    () => false,
    () => true,
  );

describe.each(flavours)('a private %s', (flavour) => {
  let server: PrivateServer;
  beforeAll(async () => {
    server = await startPrivateServer({ flavour, settings: ['max-connections=77'] });
  });
  afterAll(() => server.stop());

  test('is ready to be captured from, and takes settings', async () => {
    const found = await ask(
      server.url,
      `SELECT VERSION() version, @@log_bin bin, @@binlog_format format, @@binlog_row_image image,
              @@binlog_row_metadata metadata, @@max_connections connections, @@bind_address address`,
    );
    expect(found).toMatchObject({
      bin: 1,
      format: 'ROW',
      image: 'FULL',
      metadata: 'FULL',
      connections: 77,
      address: '127.0.0.1',
    });
    expect(String(found['version'])).toContain(server.version);
    expect(String(found['version']).includes('MariaDB')).toBe(flavour === 'mariadb');
  });

  test('is another server than the shared one', async () => {
    const identity = flavour === 'mysql' ? '@@server_uuid' : '@@server_id';
    const own = await ask(server.url, `SELECT ${identity} id`);
    expect(own).not.toEqual(await ask(sharedServer(flavour).url, `SELECT ${identity} id`));
  });

  test('keeps its data, address and identity over a kill and a restart', async () => {
    const identity = flavour === 'mysql' ? '@@server_uuid' : '@@server_id';
    const { port, pid } = server;
    const before = await ask(server.url, `SELECT ${identity} id`);
    const connection = await createConnection(server.url);
    await connection.query('CREATE DATABASE kept');
    await connection.query('CREATE TABLE kept.t (id INT PRIMARY KEY)');
    await connection.query('INSERT INTO kept.t VALUES (7)');
    connection.destroy();
    await server.kill('SIGKILL');
    expect(isAlive(pid)).toBe(false);
    await server.restart();
    expect(server.port).toBe(port);
    expect(await ask(server.url, `SELECT id, ${identity} server FROM kept.t`)).toEqual({
      id: 7,
      server: before['id'],
    });
  });

  test('stop ends the process and removes the folder, twice as well', async () => {
    const other = await startPrivateServer({ flavour });
    const { pid, dataDir } = other;
    await other.stop();
    await other.stop();
    expect(isAlive(pid)).toBe(false);
    expect(await gone(dirname(dataDir))).toBe(true);
  });

  test('a setting that the server does not know fails with the words of its log', async () => {
    await expect(startPrivateServer({ flavour, settings: ['no-such-setting=1'] })).rejects.toMatchObject({
      code: 'ERR_SERVER_BINARY',
      message: expect.stringContaining('no-such-setting') as unknown,
    });
  });

  test.each(['exit', 'SIGKILL'] as const)('does not outlive us when we end by %s', async (end) => {
    const script = `
      import { startPrivateServer } from '${join(import.meta.dirname, '../../../src/demo/private-server.ts')}';
      const server = await startPrivateServer({ flavour: '${flavour}' });
      process.stdout.write(JSON.stringify({ pid: server.pid, dataDir: server.dataDir }));
      ${end === 'exit' ? 'process.exit(3);' : 'await new Promise(() => setInterval(() => {}, 1000));'}`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [output] = (await once(child.stdout, 'data')) as [Buffer];
    const { pid, dataDir } = JSON.parse(output.toString()) as { pid: number; dataDir: string };
    if (end === 'SIGKILL') child.kill('SIGKILL');
    await waitFor(() => !isAlive(pid), { what: 'the end of the server' });
    if (end === 'SIGKILL') await startPrivateServer({ flavour }).then((next) => next.stop());
    expect(await gone(dirname(dataDir))).toBe(true);
  });
});

test('mysql takes gtid_mode=OFF, and a setting that can only be chosen at birth', async () => {
  const server = await startPrivateServer({
    flavour: 'mysql',
    settings: ['gtid_mode=OFF', 'enforce_gtid_consistency=OFF', 'lower_case_table_names=1'],
  });
  try {
    expect(await ask(server.url, 'SELECT @@gtid_mode gtid, @@lower_case_table_names names')).toEqual({
      gtid: 'OFF',
      names: 1,
    });
  } finally {
    await server.stop();
  }
});

describe('resolving a server', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'resolve-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  async function program(name: string, text: string): Promise<string> {
    const bin = await mkdtemp(join(dir, 'bin-'));
    await writeFile(join(bin, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(bin, name), 0o755);
    return bin;
  }

  test('one on PATH is used', async () => {
    const bin = await program(
      'mysqld',
      'echo "mysqld  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)"',
    );
    const binary = await resolveServerBinary('mysql', { env: { PATH: bin, XDG_CACHE_HOME: dir } });
    expect(binary).toMatchObject({ flavour: 'mysql', version: '8.4.3', command: [join(bin, 'mysqld')] });
  });

  test("MariaDB's mysqld on PATH is not taken for MySQL", async () => {
    const bin = await program('mysqld', 'echo "mysqld  Ver 10.11.6-MariaDB for debian-linux-gnu on x86_64"');
    const env = { PATH: bin, XDG_CACHE_HOME: dir };
    expect(await resolveServerBinary('mariadb', { env })).toMatchObject({
      flavour: 'mariadb',
      version: '10.11.6',
    });
    await expect(resolveServerBinary('mysql', { env })).rejects.toMatchObject({ code: 'ERR_SERVER_BINARY' });
  });

  test('without one and without apt-get it says how to get one', async () => {
    const failure = resolveServerBinary('mysql', { env: { PATH: join(dir, 'empty'), XDG_CACHE_HOME: dir } });
    await expect(failure).rejects.toMatchObject({
      code: 'ERR_SERVER_BINARY',
      remedy: expect.stringContaining('on PATH') as unknown,
    });
  });

  test('a mirror that does not answer is named as the reason, and leaves nothing half done', async () => {
    const bin = await program(
      'apt-get',
      `case "$*" in *indextargets*) echo "http://127.0.0.1:9/debian stable main Debian";; *) echo "E: Could not connect" >&2; exit 100;; esac`,
    );
    const cache = join(dir, 'offline');
    const failure = resolveServerBinary('mysql', { env: { PATH: `${bin}:/bin`, XDG_CACHE_HOME: cache } });
    await expect(failure).rejects.toMatchObject({
      code: 'ERR_SERVER_BINARY',
      message: expect.stringContaining('Could not connect') as unknown,
    });
    expect(await gone(join(cache, 'odontology-webhooks/servers/mysql-sid'))).toBe(true);
    expect(await gone(join(cache, 'odontology-webhooks/servers/mysql-sid.lock'))).toBe(true);
  });

  test('a machine whose apt never downloaded a list is asked without release files', async () => {
    const bin = await program(
      'apt-get',
      `case "$*" in
        *--no-release-info*indextargets*) echo "http://127.0.0.1:9/fresh stable main ?";;
        *indextargets*) ;;
        *) echo "E: $(cat $(dirname "$2")/sources.list)" >&2; exit 100;;
      esac`,
    );
    const failure = resolveServerBinary('mysql', {
      env: { PATH: `${bin}:/bin`, XDG_CACHE_HOME: join(dir, 'fresh') },
    });
    await expect(failure).rejects.toThrow(/http:\/\/127\.0\.0\.1:9\/fresh sid main/);
  });

  test('an unusable home falls back to the temporary folder', async () => {
    const bin = await program(
      'mysqld',
      'echo "mysqld  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)"',
    );
    const blocked = join(dir, 'a-file');
    await writeFile(blocked, '');
    vi.stubEnv('TMPDIR', dir);
    const fallback = await resolveServerBinary('mysql', { env: { PATH: bin, HOME: blocked } });
    vi.unstubAllEnvs();
    expect(fallback.templateDir).toMatch(new RegExp(`^${dir}/odontology-webhooks-`));
    const usual = await resolveServerBinary('mysql', { env: { PATH: bin, HOME: dir } });
    expect(dirname(usual.templateDir)).toBe(join(dir, '.cache/odontology-webhooks/servers'));
  });
});

describe.each(flavours)('the shared %s', (flavour) => {
  test('gives schemas and users of their own', async () => {
    const server = sharedServer(flavour);
    const schema = await createSchema(
      server,
      'CREATE TABLE t (name VARCHAR(20)); INSERT INTO t VALUES ("Íñigo 🦷")',
    );
    const user = await createUser(server, [`SELECT ON ${schema.name}.*`]);
    try {
      expect(await schema.query('SELECT name FROM t')).toEqual([{ name: 'Íñigo 🦷' }]);
      expect(await ask(schema.url(user), 'SELECT COUNT(*) n FROM t')).toEqual({ n: 1 });
      await expect(ask(schema.url(user), 'DELETE FROM t')).rejects.toThrow(/denied/);
    } finally {
      await user.drop();
      await schema.drop();
    }
  });
});

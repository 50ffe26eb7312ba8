import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSource, type Source } from '../../src/binlog/source/source.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { AppError } from '../../src/lib/errors.ts';
import { createSchema, createUser, servers, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const opened: Source[] = [];

function open(url: string, options?: Parameters<typeof openSource>[1]): Source {
  const source = openSource(parseDatabaseUrl(url), options);
  opened.push(source);
  return source;
}

async function refusal(url: string): Promise<AppError> {
  const error: unknown = await open(url)
    .query('SELECT 1')
    .catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(AppError);
  return error as AppError;
}

afterAll(async () => {
  await Promise.all(opened.map((source) => source.close()));
});

describe.each(servers)('the source on %s', (variant) => {
  const server = sharedServer(variant);
  const { flavour } = server;
  let schema: TestSchema;

  beforeAll(async () => {
    schema = await createSchema(
      server,
      `CREATE TABLE v (
        id INT PRIMARY KEY, small SMALLINT, big BIGINT, huge BIGINT UNSIGNED, de DECIMAL(65,30), dbl DOUBLE, bits BIT(64),
        y YEAR, d DATE, dt DATETIME(6), ti TIME(3), ts TIMESTAMP(3) NULL, t VARCHAR(20), l VARCHAR(20) CHARACTER SET latin1,
        b VARBINARY(4), e ENUM('a','b,c'), s SET('x','y'), j JSON, g GEOMETRY, n INT
      );
      SET time_zone = '-04:00', sql_mode = '';
      INSERT INTO v VALUES (1, -5, 9007199254740991, 18446744073709551615, -0.5, 0.1, 18446744073709551615,
        0, '0000-00-00', '2026-03-07 15:30:00.000001', '-838:59:59.000', '2026-03-07 11:30:00.5', 'ñandú 😀', 'ñ',
        x'00ff', 'b,c', 'x,y', '{"n": 12345678901234567890}', ST_GeomFromText('POINT(1 2)'), NULL)`,
    );
  });

  afterAll(() => schema.drop());

  it('says who it is', async () => {
    const identity = await open(schema.url()).identify();
    expect(identity).toMatchObject({ flavour, gtidMode: 'on', lowerCaseTableNames: 0 });
    expect(identity.account).toMatch(/^'root'@'(localhost|127\.0\.0\.1|%)'$/);
    expect(`${identity.version.major}.${identity.version.minor}.${identity.version.patch}`).toBe(
      server.version,
    );
    const [row] = await schema.query('SELECT @@server_id AS id');
    expect(identity.serverId).toBe(Number(row!['id']));
    expect(identity.serverUuid.length).toBeGreaterThan(10);
    expect(identity.serverUuid.length).toBeLessThanOrEqual(64);
  });

  it('gives values as cells: exact, in UTC, as text where a number would not hold them', async () => {
    const [row] = await open(schema.url()).query('SELECT * FROM v');
    expect(row).toEqual({
      id: 1,
      small: -5,
      big: 9007199254740991,
      huge: '18446744073709551615',
      de: '-0.500000000000000000000000000000',
      dbl: 0.1,
      bits: '18446744073709551615',
      y: 0,
      d: '0000-00-00',
      dt: '2026-03-07 15:30:00.000001',
      ti: '-838:59:59.000',
      ts: '2026-03-07 15:30:00.500',
      t: 'ñandú 😀',
      l: 'ñ',
      b: Buffer.from('00ff', 'hex'),
      e: 'b,c',
      s: 'x,y',
      j: '{"n": 12345678901234567890}',
      g: Buffer.from('000000000101000000000000000000f03f0000000000000040', 'hex'),
      n: null,
    });
  });

  it('cannot write, even as root', async () => {
    const source = open(schema.url());
    await expect(source.query('DELETE FROM v')).rejects.toMatchObject({ errno: 1792 });
    expect(await source.query('SELECT COUNT(*) AS n FROM v')).toEqual([{ n: 1 }]);
  });

  it('does not hang the statement, whose values may be a patient’s, on its errors', async () => {
    const error: unknown = await open(schema.url())
      .query('SELECT nothing FROM v WHERE t = ?', ['Ana María'])
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ errno: 1054 });
    expect(JSON.stringify(error)).not.toContain('Ana');
  });

  it('asks again when the server has thrown out its idle connections', async () => {
    const source = open(schema.url(), { connections: 1 });
    const [row] = await source.query('SELECT CONNECTION_ID() AS id');
    await schema.query('KILL ?', [Number(row!['id'])]);
    await waitFor(async () => (await schema.sessions()).every(({ id }) => id !== Number(row!['id'])), {
      what: 'the connection to be gone',
    });
    expect(await source.query('SELECT 7 AS n')).toEqual([{ n: 7 }]);
  });

  it('ends a question that waits for a lock, and continues with the next', async () => {
    const writer = await schema.connect();
    await writer.query('LOCK TABLES v WRITE');
    const source = open(schema.url(), { connections: 1, queryTimeoutMs: 300 });
    await expect(source.query('SELECT * FROM v')).rejects.toBeInstanceOf(Error);
    expect(await source.query('SELECT 7 AS n')).toEqual([{ n: 7 }]);
    await writer.query('UNLOCK TABLES');
  });

  it('says that the password is wrong', async () => {
    const user = await createUser(server);
    const error = await refusal(schema.url({ user: user.user, password: 'wrong' }));
    expect(error.code).toBe('ERR_SOURCE_ACCESS');
    expect(error.message).toContain(`refuses the user ${user.user}`);
    expect(error.remedy).toContain('percent-encoded');
    expect(`${error.message} ${error.remedy}`).not.toContain('wrong');
    await user.drop();
  });

  it('says that the schema is not there, or not ours to use', async () => {
    const missing = await refusal(`${server.url}/no_such_schema`);
    expect(missing).toMatchObject({ code: 'ERR_SOURCE_ACCESS' });
    expect(missing.message).toContain('has no schema no_such_schema');
    const user = await createUser(server);
    const denied = await refusal(schema.url(user));
    expect(denied).toMatchObject({ code: 'ERR_SOURCE_ACCESS' });
    expect(denied.message).toContain(`sees no schema ${schema.name}`);
    const lines = denied.remedy.split('\n');
    expect(lines[0]).toMatch(/^Check the spelling of the schema at the end of source\.url/);
    expect(lines.slice(1)).toEqual([
      'SHOW DATABASES;',
      'Or, where the spelling is right, let the user read it:',
      `GRANT SELECT ON \`${schema.name}\`.* TO '${user.user}'@'%';`,
    ]);
    await user.drop();
  });

  it('suggests the nearest schema that the user sees before any GRANT', async () => {
    const user = await createUser(server, [`SELECT ON \`${schema.name}\`.*`]);
    const misspelt = schema.url(user).replace(schema.name, `${schema.name}s`);
    const { message, remedy } = await refusal(misspelt);
    expect(message).toContain(`sees no schema ${schema.name}s`);
    expect(remedy.split('\n')[0]).toContain(`did you mean ${schema.name}?`);
    expect(remedy.indexOf('GRANT')).toBeGreaterThan(remedy.indexOf('did you mean'));
    // An administrator knows that there is none: nothing is to be granted.
    const known = await refusal(schema.url().replace(schema.name, `${schema.name}s`));
    expect(known.remedy).toContain(`did you mean ${schema.name}?`);
    expect(known.remedy).not.toContain('GRANT');
    await user.drop();
  });

  it('says that the account is locked', async () => {
    const user = await createUser(server);
    await schema.query(`ALTER USER '${user.user}'@'%' ACCOUNT LOCK`);
    expect((await refusal(schema.url(user))).remedy).toContain('ACCOUNT UNLOCK');
    await user.drop();
  });
});

describe('the source over TLS', () => {
  const server = sharedServer('mysql');

  it('works with a certificate of the server’s own making, its authority named or not verified at all', async () => {
    const schema = await createSchema(server);
    const [row] = await schema.query('SELECT @@datadir AS dir');
    for (const options of ['ssl=skip-verify', `ssl=verify-ca&ssl-ca=${String(row!['dir'])}/ca.pem`]) {
      const source = open(`${schema.url()}?${options}`);
      const [status] = await source.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'");
      expect(status!['Value']).toMatch(/TLS_/);
    }
    await schema.drop();
  });

  it('says how to trust such a certificate', async () => {
    const error = await refusal(`${server.url}/mysql?ssl=true`);
    expect(error.code).toBe('ERR_SOURCE_UNREACHABLE');
    expect(error.message).toContain('is not trusted');
    expect(error.remedy).toMatch(/ssl-ca=.*ssl=skip-verify/);
  });

  it('says that a server offers none', async () => {
    const error = await refusal(`${sharedServer('mariadb').url}/mysql?ssl=true`);
    expect(error.message).toContain('does not offer TLS');
    expect(error.remedy).toContain('ssl=false');
  });
});

describe('an address that is wrong', () => {
  async function listening(onConnection: (socket: Socket) => void): Promise<{ port: number; close(): void }> {
    const listener = createServer((socket) => {
      socket.on('error', () => undefined);
      onConnection(socket);
    });
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    return { port: (listener.address() as AddressInfo).port, close: () => listener.close() };
  }

  it('is reported: the host is not known', async () => {
    const error = await refusal('mysql://u:p@no-such-host.invalid:3306/x');
    expect(error).toMatchObject({ code: 'ERR_SOURCE_UNREACHABLE' });
    expect(error.remedy).toContain('Correct the host in source.url');
  });

  it('is reported: nothing listens', async () => {
    const { port, close } = await listening(() => undefined);
    close();
    const error = await refusal(`mysql://u:p@127.0.0.1:${port}/x`);
    expect(error).toMatchObject({ code: 'ERR_SOURCE_UNREACHABLE', retryable: true });
    expect(error.message).toBe(`Nothing listens on 127.0.0.1:${port}.`);
  });

  it('is reported: something else answers', async () => {
    const { port, close } = await listening((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const error = await refusal(`mysql://u:p@127.0.0.1:${port}/x`);
    close();
    expect(error).toMatchObject({ code: 'ERR_SOURCE_UNREACHABLE' });
    expect(error.remedy).toContain('source.url');
  });
});

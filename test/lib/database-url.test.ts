import { toStoreError } from '../../src/db/connection/store-error.ts';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseDatabaseUrl, toConnectionTarget, withDatabase } from '../../src/db/connection/database-url.ts';
import { AppError } from '../../src/lib/errors.ts';

const refusal = (text: string): string => {
  try {
    parseDatabaseUrl(text);
  } catch (error) {
    if (error instanceof AppError && error.code === 'ERR_CONFIG') return error.message;
    throw error;
  }
  throw new Error('It was not refused.');
};

describe('parseDatabaseUrl', () => {
  it('takes all parts, with their escapes undone', () => {
    expect(parseDatabaseUrl('mysql://r%40d:p%2F%40%23ss@db.test:3307/ontology_db')).toEqual({
      host: 'db.test',
      port: 3307,
      user: 'r@d',
      password: 'p/@#ss',
      database: 'ontology_db',
      tls: null,
      safeUrl: 'mysql://r%40d:***@db.test:3307/ontology_db',
    });
  });

  it('takes a Unix socket, which it shows, also with another schema', () => {
    const url = parseDatabaseUrl('mysql://webhooks@localhost/ontology_db?socket=/run/mysqld/mysqld.sock');
    expect(url).toMatchObject({ socketPath: '/run/mysqld/mysqld.sock', database: 'ontology_db', tls: null });
    expect(toConnectionTarget(url)).toMatchObject({
      socketPath: '/run/mysqld/mysqld.sock',
      user: 'webhooks',
    });
    expect(withDatabase(url, 'hooks')).toMatchObject({
      database: 'hooks',
      socketPath: '/run/mysqld/mysqld.sock',
      safeUrl: 'mysql://webhooks:***@localhost/hooks?socket=/run/mysqld/mysqld.sock',
    });
    expect(refusal('mysql://r@localhost/s?socket=mysqld.sock')).toContain('absolute path');
    expect(refusal('mysql://r@localhost/s?socket=/s.sock&ssl=true')).toContain('socket and ssl');
  });

  it('takes mariadb, an IPv6 address, no password, no schema and the usual port', () => {
    const url = parseDatabaseUrl('mariadb://root@[fd00::1]');
    expect(url).toMatchObject({ host: 'fd00::1', port: 3306, user: 'root', password: '', database: '' });
    expect(url.safeUrl).toBe('mariadb://root:***@[fd00::1]:3306/');
  });

  it.each([
    ['?ssl=true', { verify: true, verifyName: true }],
    ['?ssl=required', { verify: true, verifyName: true }],
    ['?ssl=verify-ca', { verify: true, verifyName: false }],
    ['?ssl=skip-verify', { verify: false, verifyName: false }],
    ['?ssl=false', null],
    ['', null],
  ])('understands %s', (options, tls) => {
    expect(parseDatabaseUrl(`mysql://u:p@h/db${options}`).tls).toEqual(tls);
  });

  it('reads the authority of ssl-ca from beside the configuration, and verifies with it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'odontology-webhooks-ca-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'ca.pem'), 'PEM');
    const url = parseDatabaseUrl('mysql://u:p@h/db?ssl-ca=ca.pem', { baseDir: folder });
    expect(url.tls).toEqual({ verify: true, verifyName: true, ca: 'PEM' });
    expect(toConnectionTarget(url)).toEqual({
      host: 'h',
      port: 3306,
      user: 'u',
      password: 'p',
      database: 'db',
      ssl: { ca: 'PEM', rejectUnauthorized: true, verifyIdentity: true, minVersion: 'TLSv1.2' },
    });
  });

  it.each([
    ['postgres://u:hunter2@h/db', 'is not a database URL'],
    ['hunter2', 'is not a database URL'],
    ['mysql://u:hunter2@h:99999/db', 'is not a database URL'],
    ['mysql://u:hunter2@h:0/db', 'has port 0'],
    ['mysql://u:hunter2/x@h/db', 'must be percent-encoded'],
    ['mysql://u:hunter2#x@h/db', 'must be percent-encoded'],
    ['mysql://u:hunter2@h/db#x', 'write it as %23'],
    ['mysql://u:%hunter2@h/db', 'write it as %25'],
    ['mysql://h/db', 'names no user'],
    ['mysql://u:hunter2@h/a/b', 'schema name that the server would not accept'],
    ['mysql://u:hunter2@h/db?sll=true', 'did you mean "ssl"?'],
    ['mysql://u:p@x?hunter2@h/db', 'has an option that is not ssl, ssl-ca or socket'],
    ['mysql://u:p@h/db?ssl=hunter2', 'has an unknown ssl mode'],
    ['mysql://u:p@h/db?ssl-ca=missing.pem', 'names an ssl-ca file that cannot be read'],
  ])('refuses %s without repeating it', (text, words) => {
    const message = refusal(text);
    expect(message).toContain(words);
    expect(message).not.toContain('hunter2');
  });
});

describe('a password with characters that have a meaning in URLs', () => {
  const characters = ['@', '/', ':', '#', '?', '%', '[', ']', '\\', ' '];
  const pairs = characters.flatMap((one) => characters.map((other) => [one, other] as const));
  const passwords = [
    ...characters.flatMap((one) => [`Xup${one}zret`, `${one}Xzret`, `Xzret${one}`]),
    ...pairs.flatMap(([one, other]) => [`Xup${one}zr${other}zt`, `Xup${one}${other}zret`]),
    'Xup3r:s@cret/x',
  ];
  const places = ['127.0.0.1:3306/ontology_db', '127.0.0.1', 'db/', '[::1]:3306/ontology_db?ssl=true'];

  it.each(passwords)('is read as it is, or the advice is to percent-encode it: %s', (password) => {
    for (const place of places) {
      const [host] = /^(\[.*\]|[^:/]*)/.exec(place)!;
      const read = (written: string) => parseDatabaseUrl(`mysql://webhooks:${written}@${place}`);
      const whole = { user: 'webhooks', password, host: host.replace(/[[\]]/g, '') };
      expect(read(encodeURIComponent(password))).toMatchObject(whole);
      let message: string;
      try {
        expect(read(password)).toMatchObject(whole);
        continue;
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        message = error.message;
      }
      expect(message).toContain('must be percent-encoded');
      expect(message).not.toContain('schema name');
      expect(message).not.toMatch(/X|z[rt]/);
    }
  });
});

describe('a store that takes no writes', () => {
  it.each([
    [1290, 'SET GLOBAL read_only = OFF;'],
    [1792, 'SET GLOBAL read_only = OFF;'],
    [1836, 'Remove innodb_read_only and innodb_force_recovery'],
  ])('is named with its port, and error %i has the remedy that ends it', (errno, remedy) => {
    const refused = Object.assign(new Error('refused'), { errno, sqlState: 'HY000' });
    expect(toStoreError(refused, parseDatabaseUrl('mysql://u:p@[fd00::5]:3307/hooks'))).toMatchObject({
      code: 'ERR_STORE_ACCESS',
      message: 'the server of the store, [fd00::5]:3307, is read only',
      remedy: expect.stringContaining(remedy),
      retryable: true,
    });
  });
});

describe('withDatabase', () => {
  it('names another schema on the same server, for people too', () => {
    const url = withDatabase(parseDatabaseUrl('mysql://u:p@h/ontology_db?ssl=true'), 'odontology_webhooks');
    expect(url).toMatchObject({ database: 'odontology_webhooks', tls: { verify: true } });
    expect(url.safeUrl).toBe('mysql://u:***@h:3306/odontology_webhooks');
  });

  it('leaves the schema out of a connection that names none', () => {
    expect(toConnectionTarget(parseDatabaseUrl('mysql://u:p@h'))).not.toHaveProperty('database');
  });
});

import { randomBytes } from 'node:crypto';
import { createConnection, type Connection } from 'mysql2/promise';
import { inject } from 'vitest';
import { serverVariants, type Flavour, type ServerVariant } from '../../src/demo/server-binaries.ts';
import type { SharedServer } from './global-setup.ts';

export type { SharedServer };

/** For `describe.each(flavours)`: behaviour that differs between MySQL and MariaDB, but not between versions of MariaDB. */
export const flavours: readonly Flavour[] = ['mysql', 'mariadb'];
/** For `describe.each(servers)`: behaviour that also depends on the version: decoding, capture, the preflight, statements of the store. */
export const servers: readonly ServerVariant[] = serverVariants;

/** The server that the global setup started for the whole run. */
export function sharedServer(variant: ServerVariant): SharedServer {
  return inject(variant);
}

type ServerAddress = Pick<SharedServer, 'host' | 'port' | 'url' | 'shared'>;
type Row = Record<string, unknown>;

export interface TestUser {
  user: string;
  password: string;
}

/** A connection in the server's process list. */
export interface ServerSession {
  id: number;
  user: string;
  db: string | null;
  command: string;
  /** The running statement. */
  info: string | null;
}

export interface TestSchema {
  name: string;
  /** The schema's URL, for root or for the given user. */
  url(account?: TestUser): string;
  /** Runs one or several statements as root; returns the rows of a single SELECT. */
  query(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Opens a separate connection as root in this schema; `drop` closes it. */
  connect(): Promise<Connection>;
  /**
   * All clients' connections, read by SHOW: MySQL's information_schema.processlist returns an error while any statement
   * contains a character outside utf8mb3, such as an emoji.
   */
  sessions(): Promise<ServerSession[]>;
  /** Reopens the connection of `query` after a restart of the server. */
  reconnect(): Promise<void>;
  drop(): Promise<void>;
}

const unique = (prefix: string): string => `${prefix}_${randomBytes(5).toString('hex')}`;

const setsGlobals = /\bSET\s+(?:GLOBAL|PERSIST)\b|@@GLOBAL\.\w+\s*:?=/i;

function connectTo(uri: string): Promise<Connection> {
  return createConnection({
    uri,
    multipleStatements: true,
    charset: 'utf8mb4',
    timezone: 'Z',
    dateStrings: true,
  });
}

/**
 * Creates a schema with a unique name, filled with `sql` (no DELIMITER; several statements are allowed). Refuses to set a shared
 * server's global variables.
 */
export async function createSchema(server: ServerAddress, sql?: string): Promise<TestSchema> {
  const name = unique('t');
  let root = await connectTo(server.url);
  const others: Connection[] = [];
  await root.query(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4; USE \`${name}\``);
  if (sql !== undefined) await root.query(sql);
  return {
    name,
    url(account = { user: 'root', password: '' }) {
      const url = new URL(`mysql://${server.host}:${server.port}/${name}`);
      url.username = account.user;
      url.password = account.password;
      return url.href;
    },
    async query(text, values = []) {
      if (server.shared === true && setsGlobals.test(text))
        throw new Error(`Other tests run on this server: start a private one for "${text}".`);
      const [rows] = await root.query(text, [...values]);
      return Array.isArray(rows) ? (rows as Row[]) : [];
    },
    async connect() {
      const connection = await connectTo(`${server.url}/${name}`);
      others.push(connection);
      return connection;
    },
    async sessions() {
      const [rows] = await root.query('SHOW FULL PROCESSLIST');
      return (rows as Row[]).map((row) => ({
        id: Number(row['Id']),
        user: String(row['User']),
        db: row['db'] as string | null,
        command: String(row['Command']),
        info: row['Info'] as string | null,
      }));
    },
    async reconnect() {
      root.destroy();
      root = await connectTo(`${server.url}/${name}`);
    },
    async drop() {
      await Promise.all(others.map((connection) => connection.end().catch(() => undefined)));
      await root.query(`DROP DATABASE IF EXISTS \`${name}\``);
      await root.end();
    },
  };
}

/**
 * Creates a user with a unique name and password and exactly these privileges, each written as in GRANT without the
 * user: `SELECT ON clinic.*`, `REPLICATION SLAVE ON *.*`.
 */
export async function createUser(
  server: ServerAddress,
  grants: readonly string[] = [],
): Promise<TestUser & { drop(): Promise<void> }> {
  const account = { user: unique('u'), password: randomBytes(9).toString('base64url') };
  const who = `'${account.user}'@'%'`;
  await asRoot(server, [
    `CREATE USER ${who} IDENTIFIED BY '${account.password}'`,
    ...grants.map((grant) => `GRANT ${grant} TO ${who}`),
  ]);
  return { ...account, drop: () => asRoot(server, [`DROP USER IF EXISTS ${who}`]) };
}

async function asRoot(server: ServerAddress, statements: readonly string[]): Promise<void> {
  const root = await connectTo(server.url);
  try {
    for (const statement of statements) await root.query(statement);
  } finally {
    await root.end();
  }
}

/** The tables of a schema, each with the columns that a dump copies: all except generated columns. */
export async function copiedColumns(schema: TestSchema, name: string): Promise<Map<string, string>> {
  const rows = await schema.query(
    `SELECT t.TABLE_NAME AS name, GROUP_CONCAT(CONCAT('\`', c.COLUMN_NAME, '\`')) AS columns
     FROM information_schema.TABLES t JOIN information_schema.COLUMNS c USING (TABLE_SCHEMA, TABLE_NAME)
     WHERE t.TABLE_SCHEMA = ? AND t.TABLE_TYPE = 'BASE TABLE' AND COALESCE(c.GENERATION_EXPRESSION, '') = ''
     GROUP BY t.TABLE_NAME`,
    [name],
  );
  return new Map(rows.map((row) => [row['name'] as string, row['columns'] as string]));
}

import {
  createConnection,
  createPool,
  type Connection,
  type Pool,
  type PoolConnection,
  type TypeCastField,
} from 'mysql2';
import { explainConnectError } from '../../db/connection/connect-error.ts';
import { monotonicMs } from '../../lib/clock.ts';
import { toConnectionTarget, type DatabaseUrl } from '../../db/connection/database-url.ts';
import { AppError } from '../../lib/errors.ts';
import { refusalWithin } from '../../lib/server-error.ts';
import { prepareSession } from '../../db/connection/session-variables.ts';
import { explainMissingSchema, isSchemaMissing } from './missing-schema.ts';
import { isAtLeast, parseServerVersion, type ServerVersion } from './server-version.ts';
import type { Cell, Flavour } from '../types.ts';

/** A row of a result, each value as a Cell, by the column name in the statement. */
export type SourceRow = Readonly<Record<string, Exclude<Cell, undefined>>>;

export interface SourceIdentity {
  flavour: Flavour;
  version: ServerVersion;
  /** MySQL's server_uuid. MariaDB has none: server id and server_uid, `3769158173/ctaf0HXM+VXJwjryn/VLUZ8Anqw=`. */
  serverUuid: string;
  serverId: number;
  hostname: string;
  /** MariaDB always has GTIDs. Any value except `on` means that positions are files and offsets. */
  gtidMode: 'on' | 'on_permissive' | 'off_permissive' | 'off';
  /** 0: names are case-sensitive; 1: kept in lower case; 2: kept as written, compared in lower case. */
  lowerCaseTableNames: 0 | 1 | 2;
  /** MariaDB 11.5 or later without TIMESTAMP values after 2038: on Windows, and if `long` has 32 bits. */
  hasShortTimestamps: boolean;
  /** Our account according to the server, ready for a GRANT: `'webhooks'@'%'`. */
  account: string;
}

/** The source server, for queries. Nothing is ever written to it: every session is read only. */
export interface Source {
  readonly url: DatabaseUrl;
  /** Queried each time: the server behind a host name changes with a failover. */
  identify(): Promise<SourceIdentity>;
  /**
   * Runs one read-only statement; `?` is a placeholder. Throws an AppError (ERR_SOURCE_UNREACHABLE, ERR_SOURCE_ACCESS) for a connection
   * that fails or breaks, and a ServerError if the server refuses the statement.
   */
  query(sql: string, values?: readonly (string | number)[]): Promise<SourceRow[]>;
  /**
   * From now on uses only new connections. During a failover an address leads to two servers: open connections to the old one, new
   * connections to the new one. Results after the first one come from the same server as the first, or from a server to which the
   * address was moved in the meantime.
   */
  renew(): void;
  /** A connection outside the pool, for commands of the replication protocol. The caller destroys it. */
  connect(): Promise<Connection>;
  close(): Promise<void>;
}

export interface SourceOptions {
  /** Maximum number of connections. */
  connections?: number;
  /** A query that takes longer has met a lock or a dead connection, and fails. */
  queryTimeoutMs?: number;
}

const role = {
  key: 'source.url',
  unreachable: 'ERR_SOURCE_UNREACHABLE',
  access: 'ERR_SOURCE_ACCESS',
} as const;

const connectTimeoutMs = 10_000;
/**
 * Older connections are closed: after a failover they may stay open to the demoted server and return its data, while new ones lead to
 * the promoted server.
 */
const longestLifeMs = 5_000;
/** The server aborts a query that takes too long; if it does not respond at all, we close the connection this much later. */
const graceMs = 1_000;

const targetOf = (url: DatabaseUrl) => ({
  ...toConnectionTarget(url),
  charset: 'utf8mb4',
  connectTimeout: connectTimeoutMs,
});

function createSourcePool(target: ReturnType<typeof targetOf>, connections: number): Pool {
  return createPool({
    ...target,
    connectionLimit: connections,
    maxIdle: 1,
    idleTimeout: 30_000,
    enableKeepAlive: true,
    // MariaDB reports a LONGTEXT as JSON, and mysql2 would parse it and lose digits of numbers past 2^53.
    jsonStrings: true,
    typeCast: toCell,
  });
}

/** See Source.connect. */
function connectAlone(target: ReturnType<typeof targetOf>, url: DatabaseUrl): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const connection = createConnection(target);
    connection.on('error', () => undefined);
    connection.connect((error) => (error ? void explainWhole(error, url).then(reject) : resolve(connection)));
  });
}

function explain(error: Error, url: DatabaseUrl): Error {
  return explainConnectError(error, url, role) ?? refusalWithin(error) ?? withoutStatement(error);
}

/** Like `explain`; for a missing schema it also lists the existing schemas. */
async function explainWhole(error: Error, url: DatabaseUrl): Promise<Error> {
  const known = explain(error, url);
  if (!isSchemaMissing(known)) return known;
  return explainMissingSchema(known, url, () => createConnection(targetOf({ ...url, database: '' })));
}

/** Opens the source for queries. Connects at the first query. */
export function openSource(
  url: DatabaseUrl,
  { connections = 4, queryTimeoutMs = 15_000 }: SourceOptions = {},
): Source {
  const target = targetOf(url);
  const pool = createSourcePool(target, connections);
  /** Why the settings of a new connection could not be applied. */
  const failures = new WeakMap<object, Error>();
  const bornMs = new WeakMap<object, number>();
  pool.on('connection', (connection) => {
    bornMs.set(connection, monotonicMs());
    prepareSession(connection, { kind: 'source', queryTimeoutMs }, failures);
  });

  let renewedMs = -Infinity;
  const isYoung = (connection: PoolConnection): boolean => {
    const born = bornMs.get(connection) ?? 0;
    return born > renewedMs && monotonicMs() - born < longestLifeMs;
  };

  function take(): Promise<PoolConnection> {
    return new Promise((resolve, reject) =>
      pool.getConnection((error, connection) => {
        if (error) {
          void explainWhole(error, url).then(reject);
        } else if (isYoung(connection)) {
          resolve(connection);
        } else {
          connection.destroy();
          resolve(take());
        }
      }),
    );
  }

  async function ask(sql: string, values: readonly (string | number)[]): Promise<SourceRow[]> {
    const connection = await take();
    return new Promise((resolve, reject) => {
      connection.query({ sql, values: [...values], timeout: queryTimeoutMs + graceMs }, (error, rows) => {
        if (!error) {
          connection.release();
          resolve(rows as SourceRow[]);
          return;
        }
        const known = explain(failures.get(connection) ?? error, url);
        // A query that timed out is still running; a query on a broken connection never completes.
        if (known instanceof AppError) connection.destroy();
        else connection.release();
        reject(known);
      });
    });
  }

  const source: Source = {
    url,
    identify: () => identify(source),
    async query(sql, values = []) {
      try {
        return await ask(sql, values);
      } catch (error) {
        // The pool may hold a connection that died when the server restarted: repeating a read is harmless.
        if (error instanceof AppError && isBroken(error.cause)) return ask(sql, values);
        throw error;
      }
    },
    renew() {
      renewedMs = monotonicMs();
    },
    connect: () => connectAlone(target, url),
    close: () => new Promise((resolve) => pool.end(() => resolve())),
  };
  return source;
}

async function identify(source: Source): Promise<SourceIdentity> {
  const [row] = await source.query(
    'SELECT VERSION() AS version, @@server_id AS serverId, @@hostname AS hostname,' +
      ' @@lower_case_table_names AS lowerCase, CURRENT_USER() AS account,' +
      ' FROM_UNIXTIME(4294967295) IS NULL AS endsIn2038',
  );
  const version = parseServerVersion(String(row!['version']));
  const variables = toVariables(await source.query(identityVariables));
  return {
    flavour: version.flavour,
    version,
    serverUuid: serverUuidOf(variables),
    serverId: Number(row!['serverId']),
    hostname: String(row!['hostname']),
    gtidMode:
      version.flavour === 'mariadb'
        ? 'on'
        : ((variables.get('gtid_mode') ?? 'OFF').toLowerCase() as SourceIdentity['gtidMode']),
    lowerCaseTableNames: Number(row!['lowerCase']) as 0 | 1 | 2,
    hasShortTimestamps: Number(row!['endsIn2038']) === 1 && isAtLeast(version, '11.5.0'),
    account: quoteAccount(String(row!['account'])),
  };
}

/** The variables that `serverUuidOf` needs, and `gtid_mode`. */
export const identityVariables =
  "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_uid', 'server_id', 'gtid_mode')";

/** Returns the values of SHOW VARIABLES by name. */
export function toVariables(rows: readonly Readonly<Record<string, unknown>>[]): Map<string, string> {
  return new Map(rows.map((row) => [String(row['Variable_name']), String(row['Value'])]));
}

/** See SourceIdentity. */
export function serverUuidOf(variables: ReadonlyMap<string, string>): string {
  return (
    variables.get('server_uuid') ?? `${variables.get('server_id') ?? ''}/${variables.get('server_uid') ?? ''}`
  );
}

/** Quotes `webhooks@10.0.%` for GRANT. The host part contains no @, the user may. */
function quoteAccount(account: string): string {
  const at = account.lastIndexOf('@');
  return [account.slice(0, at), account.slice(at + 1)]
    .map((part) => `'${part.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`)
    .join('@');
}

function isBroken(cause: unknown): boolean {
  if (typeof cause !== 'object' || cause === null || !('code' in cause)) return false;
  return ['PROTOCOL_CONNECTION_LOST', 'ECONNRESET', 'EPIPE'].includes(String(cause.code));
}

/** mysql2 adds the statement with its values to the error: they may be patient data. */
function withoutStatement<E extends Error>(error: E): E {
  if ('sql' in error) error.sql = undefined;
  return error;
}

/** Returns bytes for types without a text form. Other values come as the server prints them, which is exact. */
function toCell(field: TypeCastField, next: () => unknown): unknown {
  switch (field.type) {
    case 'TINY':
    case 'SHORT':
    case 'INT24':
    case 'LONG':
    case 'LONGLONG':
    case 'YEAR':
      return safeInteger(field.string());
    case 'FLOAT':
    case 'DOUBLE': {
      const text = field.string();
      return text === null ? null : Number(text);
    }
    case 'BIT': {
      const bytes = field.buffer();
      return bytes === null ? null : safeInteger(BigInt(`0x${bytes.toString('hex') || '0'}`));
    }
    case 'DECIMAL':
    case 'NEWDECIMAL':
    case 'DATE':
    case 'NEWDATE':
    case 'TIME':
    case 'DATETIME':
    case 'TIMESTAMP':
      return field.string();
    case 'JSON':
      return field.string('utf8');
    case 'GEOMETRY':
      return field.buffer();
    default:
      return next();
  }
}

function safeInteger(value: string | bigint | null): number | string | null {
  if (value === null) return null;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

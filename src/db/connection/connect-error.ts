import { placeOf as at, type DatabaseUrl } from './database-url.ts';
import { AppError, codeOf, type ErrorCode } from '../../lib/errors.ts';
import { withoutValues } from '../../lib/server-error.ts';
import { setVariable } from './set-variable.ts';

/* A remedy has one step per line: the first is either one SQL statement, which can be pasted, or plain advice. */

/** The configuration key that names the server, and the codes of the two kinds of failure. */
export interface ConnectRole {
  /** `source.url`. */
  key: string;
  unreachable: ErrorCode;
  access: ErrorCode;
}

interface Explanation {
  kind: 'unreachable' | 'access';
  message: string;
  remedy: string;
  /** Whether waiting alone can help: the server restarts, a network heals. */
  retryable: boolean;
}

type Explain = (url: DatabaseUrl, key: string, detail: string) => Omit<Explanation, 'kind' | 'retryable'>;

const lines = (...steps: readonly string[]): string => steps.join('\n');

const quoted = (name: string): string => `\`${name.replaceAll('`', '``')}\``;

const unknownHost: Explain = (url, key) => ({
  message: `The host ${url.host} is not known.`,
  remedy: `Correct the host in ${key}, or use its IP address.`,
});

const nobodyListens: Explain = (url, key) => ({
  message: `Nothing listens on ${at(url)}.`,
  remedy: url.socketPath
    ? `Start the database server, or correct the socket in ${key}. The server shows its path:\nSELECT @@socket;`
    : `Start the database server, or correct host and port in ${key}; bind-address in the server's my.cnf must allow this machine.`,
});

const socketRefused: Explain = (url, key) => ({
  message: `The socket ${at(url)} may not be opened by this user.`,
  remedy: `Let the daemon's user write to the socket and enter its folder, or name host and port in ${key}.`,
});

const noAnswer: Explain = (url, key) => ({
  message: `${at(url)} does not answer like a database server.`,
  remedy: `Check host and port of ${key}, and that no firewall stands between.`,
});

const connectionLost: Explain = (url, key) => ({
  message: `The connection to ${at(url)} was lost.`,
  remedy: `Check that the database server runs and that ${key} names its port.`,
});

const busy: Explain = (url) => ({
  message: `The server at ${at(url)} takes no further connection: max_connections is reached.`,
  remedy: lines(
    setVariable('max_connections', 300),
    'Or end connections that are not used. This lists them:',
    'SHOW PROCESSLIST;',
  ),
});

/** A daemon has up to 10 connections to the store and 5 to the source; a command some more for a moment. */
const connectionsWanted = 30;

const userLimit: Explain = (url) => ({
  message: `The server at ${at(url)} takes no further connection of the user ${url.user}: its variable max_user_connections is reached.`,
  remedy: lines(
    `ALTER USER '${url.user}'@'%' WITH MAX_USER_CONNECTIONS ${connectionsWanted};`,
    // MariaDB: --max-user-connections=0 at the start refuses the statement (error 1290).
    'Or raise the limit of all users. A MariaDB server that was started with 0 reads it from my.cnf, at its next start:',
    setVariable('max_user_connections', connectionsWanted),
  ),
});

/** The account's own limits, by the word for each in the server's text. */
const accountLimits: readonly (readonly [RegExp, string, number])[] = [
  [/'max_user_connections'/, 'MAX_USER_CONNECTIONS', connectionsWanted],
  [/'max_connections_per_hour'/, 'MAX_CONNECTIONS_PER_HOUR', 0],
  [/'max_questions'|'max_queries_per_hour'/, 'MAX_QUERIES_PER_HOUR', 0],
  [/'max_updates(_per_hour)?'/, 'MAX_UPDATES_PER_HOUR', 0],
];

const accountLimit: Explain = (url, _key, detail) => {
  const [, option, value] = accountLimits.find(([pattern]) => pattern.test(detail)) ?? accountLimits[0]!;
  return {
    message: `The account of the user ${url.user} at ${at(url)} has reached its limit ${option}.`,
    remedy: lines(
      `ALTER USER '${url.user}'@'%' WITH ${option} ${value};${value === 0 ? ' -- 0: no limit' : ''}`,
      "Where the account's host is not %, this shows it, connected as that user:",
      'SELECT CURRENT_USER();',
    ),
  };
};

const wsrepNotReady: Explain = (url) => ({
  message: `The server at ${at(url)} is a cluster node that is not ready for statements.`,
  remedy: lines(
    'Wait until it has joined its cluster again; the connection is retried. This shows ON then:',
    "SHOW STATUS LIKE 'wsrep_ready';",
  ),
});

const blockedHost: Explain = (url) => ({
  message: `The server at ${at(url)} has blocked this machine after too many failed connections.`,
  remedy: lines(
    'As an administrator, forget the failed connections. On MySQL:',
    'TRUNCATE TABLE performance_schema.host_cache;',
    'On MariaDB:',
    'FLUSH HOSTS;',
  ),
});

const wrongPassword: Explain = (url, key) => ({
  message: `The server at ${at(url)} refuses the user ${url.user} with this password${url.tls ? '' : ' (or demands TLS)'}.`,
  remedy: lines(
    `Correct user and password in ${key} (characters like @ : / ? # % must be percent-encoded).`,
    ...(url.tls ? [] : [`If the user was created with REQUIRE SSL, add ?ssl=true to ${key}.`]),
    'Or set the password as an administrator:',
    `ALTER USER '${url.user}'@'%' IDENTIFIED BY '…';`,
  ),
});

const hostNotAllowed: Explain = (url) => ({
  message: `The server at ${at(url)} takes no connection of any user from this machine.`,
  remedy: `CREATE USER '${url.user}'@'%' IDENTIFIED BY '…'; -- % or the address of this machine`,
});

const locked: Explain = (url) => ({
  message: `The account of the user ${url.user} is locked.`,
  remedy: `ALTER USER '${url.user}'@'%' ACCOUNT UNLOCK;`,
});

const expired: Explain = (url) => ({
  message: `The password of the user ${url.user} has expired.`,
  remedy: `ALTER USER '${url.user}'@'%' IDENTIFIED BY '…' PASSWORD EXPIRE NEVER;`,
});

const unsupportedLogin: Explain = (url) => ({
  message: `The server requires the user ${url.user} to log in by a plugin that is not supported.`,
  remedy: lines(
    'Give the user a plugin that is supported. On MySQL:',
    `ALTER USER '${url.user}'@'%' IDENTIFIED WITH caching_sha2_password BY '…';`,
    'On MariaDB:',
    `ALTER USER '${url.user}'@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('…');`,
  ),
});

const noSchema: Explain = (url, key) => ({
  message: `The server at ${at(url)} has no schema ${url.database}.`,
  remedy: lines(
    `Correct the schema at the end of ${key}; letter case may matter. This lists the schemas:`,
    'SHOW DATABASES;',
  ),
});

const schemaRefused: Explain = (url) => ({
  message: `The user ${url.user} may not use the schema ${url.database}, or there is none of that name.`,
  remedy: `GRANT SELECT ON ${quoted(url.database)}.* TO '${url.user}'@'%';`,
});

const tlsDemanded: Explain = (url, key) => ({
  message: `The server at ${at(url)} takes encrypted connections only.`,
  remedy: `Add ?ssl=true to ${key} (with a self-signed certificate also &ssl-ca=/path/to/ca.pem).`,
});

const noTls: Explain = (url, key) => ({
  message: `The server at ${at(url)} does not offer TLS.`,
  remedy: `Set ssl_cert and ssl_key in the server's my.cnf and restart it, or write ?ssl=false in ${key} when the network is trusted.`,
});

const untrusted: Explain = (url, key, detail) => ({
  message: `The certificate of ${at(url)} is not trusted: ${detail}.`,
  remedy:
    `Add &ssl-ca=/path/to/ca.pem to ${key} (MySQL makes ca.pem in its data directory; with its own certificates, ` +
    'which carry no host name, also ssl=verify-ca), or ssl=skip-verify to encrypt without knowing to whom.',
});

const wrongName: Explain = (url, key, detail) => ({
  message: `The certificate of ${at(url)} is for another name: ${detail}.`,
  remedy: `Use the certificate's name as the host in ${key}, or ssl=verify-ca to trust the authority alone.`,
});

const oldTls: Explain = (url, _key, detail) => ({
  message: `No TLS connection with ${at(url)} comes about: ${detail}.`,
  // Only MySQL can set it at run time, and applies it with ALTER INSTANCE RELOAD TLS.
  remedy:
    'Allow TLSv1.2 or later on the server: write tls_version = TLSv1.2,TLSv1.3 under [mysqld] in my.cnf, and restart the server.',
});

const restarting: Explain = (url) => ({
  message: `The server at ${at(url)} is shutting down or ended the connection.`,
  remedy: 'Wait until it is up again: the connection is tried again by itself.',
});

/** By mysql2's or Node's word code; server errors by number, because MariaDB's numbers have other names in mysql2. */
const byCode: Readonly<Record<string, readonly [Explain, Explanation['kind'], 'retry'?]>> = {
  ENOTFOUND: [unknownHost, 'unreachable'],
  EAI_AGAIN: [unknownHost, 'unreachable', 'retry'],
  ECONNREFUSED: [nobodyListens, 'unreachable', 'retry'],
  ENOENT: [nobodyListens, 'unreachable', 'retry'],
  EACCES: [socketRefused, 'unreachable'],
  ETIMEDOUT: [noAnswer, 'unreachable', 'retry'],
  EHOSTUNREACH: [noAnswer, 'unreachable', 'retry'],
  ENETUNREACH: [noAnswer, 'unreachable', 'retry'],
  PROTOCOL_SEQUENCE_TIMEOUT: [noAnswer, 'unreachable', 'retry'],
  PROTOCOL_CONNECTION_LOST: [connectionLost, 'unreachable', 'retry'],
  ECONNRESET: [connectionLost, 'unreachable', 'retry'],
  EPIPE: [connectionLost, 'unreachable', 'retry'],
  HANDSHAKE_NO_SSL_SUPPORT: [noTls, 'unreachable'],
  1040: [busy, 'unreachable', 'retry'],
  1203: [userLimit, 'unreachable', 'retry'],
  1226: [accountLimit, 'unreachable', 'retry'],
  1047: [wsrepNotReady, 'unreachable', 'retry'],
  1129: [blockedHost, 'unreachable'],
  1053: [restarting, 'unreachable', 'retry'],
  1077: [restarting, 'unreachable', 'retry'],
  1152: [restarting, 'unreachable', 'retry'],
  1927: [restarting, 'unreachable', 'retry'],
  4031: [restarting, 'unreachable', 'retry'],
  1045: [wrongPassword, 'access'],
  1698: [wrongPassword, 'access'],
  1130: [hostNotAllowed, 'access'],
  3118: [locked, 'access'],
  4151: [locked, 'access'],
  1820: [expired, 'access'],
  1862: [expired, 'access'],
  1251: [unsupportedLogin, 'access'],
  1524: [unsupportedLogin, 'access'],
  AUTH_SWITCH_PLUGIN_ERROR: [unsupportedLogin, 'access'],
  1049: [noSchema, 'access'],
  1044: [schemaRefused, 'access'],
  3159: [tlsDemanded, 'access'],
};

function explainTls(detail: string): Explain {
  if (/altnames|Hostname\/IP does not match/i.test(detail)) return wrongName;
  if (/certificate|issuer|self.signed/i.test(detail)) return untrusted;
  return oldTls;
}

/**
 * Converts a failure to connect (or a broken connection) to an error that a person can act on; undefined if the error is something else,
 * such as a refused statement. The text names user, host, port and schema, never the password.
 */
export function explainConnectError(
  error: unknown,
  url: DatabaseUrl,
  { key, unreachable, access }: ConnectRole,
): AppError | undefined {
  const code = codeOf(error) ?? '';
  const number = errnoOf(error);
  // Matched against known texts, and repeated only if Node wrote it: never a server's text.
  const detail = (error instanceof Error ? error.message : '').replace(/\.$/, '');
  const isTls =
    code === 'HANDSHAKE_SSL_ERROR' ||
    /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED)/.test(code);
  const [explain, kind, retry] =
    (number === undefined ? undefined : byCode[number]) ??
    byCode[code] ??
    (isTls ? ([explainTls(detail), 'unreachable'] as const) : []);
  if (!explain || !kind) return undefined;
  const { message, remedy } = explain(url, key, detail);
  return new AppError(kind === 'access' ? access : unreachable, message, {
    remedy,
    cause: withoutValues(error),
    retryable: retry === 'retry',
  });
}

/** Returns the number of a server's error (1045); undefined for an error that did not come from a server. */
export function errnoOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('errno' in error)) return undefined;
  return typeof error.errno === 'number' && error.errno > 0 ? error.errno : undefined;
}

import { hostPort } from '../../lib/host-port.ts';
import { readFileSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { AppError, messageOf } from '../../lib/errors.ts';
import { didYouMean } from '../../lib/suggest.ts';

/** How a connection is encrypted; null settings mean plain text. */
interface DatabaseTls {
  /**
   * PEM text of the authority that signed the server's certificate, read from its file at each access, so that a renewed file applies from
   * the next connection on; without it, the system's authorities are used.
   */
  readonly ca?: string;
  /** Whether the certificate must be signed by a known authority. */
  verify: boolean;
  /** Whether it must also carry the host's name: MySQL's auto-generated certificates do not. */
  verifyName: boolean;
}

/** A parsed database address. `password` is in clear text: show `safeUrl` to people, never this. */
export interface DatabaseUrl {
  host: string;
  port: number;
  /** Path of a Unix socket, used instead of host and port. */
  socketPath?: string;
  user: string;
  password: string;
  /** Empty when the URL names no schema. */
  database: string;
  tls: DatabaseTls | null;
  /** The URL without password and TLS options, for logs and messages. */
  safeUrl: string;
}

/** The part of mysql2's connection options that a DatabaseUrl decides. */
export interface ConnectionTarget {
  host: string;
  port: number;
  socketPath?: string;
  user: string;
  password: string;
  database?: string;
  ssl?: { readonly ca?: string; rejectUnauthorized: boolean; verifyIdentity: boolean; minVersion: 'TLSv1.2' };
}

const schemes = ['mysql:', 'mariadb:'];
const optionNames = ['ssl', 'ssl-ca', 'socket'];
const tlsModes: Readonly<Record<string, Omit<DatabaseTls, 'ca'> | null>> = {
  false: null,
  disabled: null,
  true: { verify: true, verifyName: true },
  required: { verify: true, verifyName: true },
  'verify-ca': { verify: true, verifyName: false },
  'skip-verify': { verify: false, verifyName: false },
};

/**
 * Takes apart `mysql://user:password@host:3306/schema?ssl=…` (or `mariadb://`). User and password are percent-decoded.
 * `ssl`: `true` or `required` (certificate and name verified), `verify-ca` (certificate alone), `skip-verify` (encrypted
 * only), `false`; `ssl-ca`: a PEM file, relative to `baseDir`, which alone means `ssl=true`. `socket`: the absolute path of a Unix
 * socket on this machine; host and port are then not used.
 *
 * Throws AppError ERR_CONFIG with a message that repeats neither the URL nor the password.
 */
export function parseDatabaseUrl(text: string, { baseDir = '.' }: { baseDir?: string } = {}): DatabaseUrl {
  try {
    return takeApart(text, baseDir);
  } catch (error) {
    if (error instanceof AppError && hasUnescaped(text)) throw invalid(`${error.message}: ${escapeAdvice}`);
    throw error;
  }
}

function takeApart(text: string, baseDir: string): DatabaseUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !schemes.includes(url.protocol) || url.hostname === '')
    throw invalid('is not a database URL (mysql://user:password@host:3306/schema)');
  // A / in the password ends the host early: the host would be a part of the password.
  if (url.pathname.includes('@'))
    throw invalid('has an @ after its first / (in the name of a schema it is %40)');
  if (url.hash !== '') throw invalid('has a "#": write it as %23');
  const user = decode(url.username, 'user');
  if (user === '') throw invalid('names no user');
  const database = decode(url.pathname.slice(1), 'schema');
  if (/[/\\.`\0]/.test(database)) throw invalid('has a schema name that the server would not accept');
  const port = url.port === '' ? 3306 : Number(url.port);
  if (port === 0) throw invalid('has port 0: the ports are 1 to 65535');
  // The brackets of an IPv6 literal belong to the URL, not to the address.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const tls = readTls(url.searchParams, baseDir);
  const socketPath = readSocket(url.searchParams, tls);
  const place = socketPath === undefined ? `${url.hostname}:${port}` : url.hostname;
  const shown = socketPath === undefined ? '' : `?socket=${socketPath}`;
  return {
    host,
    port,
    ...(socketPath !== undefined && { socketPath }),
    user,
    password: decode(url.password, 'password'),
    database,
    tls,
    safeUrl: `${url.protocol}//${url.username}:***@${place}/${url.pathname.slice(1)}${shown}`,
  };
}

/** `db.example.com:3306`, or the path of the socket. */
export function placeOf({ host, port, socketPath }: DatabaseUrl): string {
  return socketPath ?? hostPort({ host, port });
}

/** The connection options of mysql2 (and of our own binlog stream) for a URL; `database` is left out when it is empty. */
export function toConnectionTarget({
  host,
  port,
  socketPath,
  user,
  password,
  database,
  tls,
}: DatabaseUrl): ConnectionTarget {
  return {
    host,
    port,
    ...(socketPath !== undefined && { socketPath }),
    user,
    password,
    ...(database === '' ? {} : { database }),
    ...(tls && { ssl: toSsl(tls) }),
  };
}

function toSsl(tls: DatabaseTls): NonNullable<ConnectionTarget['ssl']> {
  const common = {
    rejectUnauthorized: tls.verify,
    verifyIdentity: tls.verifyName,
    minVersion: 'TLSv1.2',
  } as const;
  if (tls.ca === undefined) return common;
  // mysql2 looks at `ca` at each connect of a pool, and builds a new context when it has changed.
  return {
    ...common,
    get ca() {
      return tls.ca!;
    },
  };
}

/** The same server and user with another schema: the store's default place. */
export function withDatabase(url: DatabaseUrl, database: string): DatabaseUrl {
  return {
    ...url,
    database,
    safeUrl: url.safeUrl.replace(
      /(@[^/]*\/)[^?]*/,
      (_, place) => `${String(place)}${encodeURIComponent(database)}`,
    ),
  };
}

function readTls(options: URLSearchParams, baseDir: string): DatabaseTls | null {
  for (const name of options.keys()) {
    if (!optionNames.includes(name)) {
      // The option is not named: with an unescaped ? in the password, it is a part of the password.
      throw invalid(`has an option that is not ssl, ssl-ca or socket${didYouMean(name, optionNames)}`);
    }
  }
  const caFile = options.get('ssl-ca');
  const mode = options.get('ssl') ?? (caFile === null ? 'false' : 'true');
  const tls = Object.hasOwn(tlsModes, mode) ? tlsModes[mode] : undefined;
  if (tls === undefined) {
    throw invalid(`has an unknown ssl mode: it is one of ${Object.keys(tlsModes).join(', ')}`);
  }
  if (caFile === null || tls === null) return tls;
  const path = resolve(baseDir, caFile);
  let known: string;
  try {
    known = readFileSync(path, 'utf8');
  } catch (error) {
    throw invalid(`names an ssl-ca file that cannot be read (${messageOf(error)})`);
  }
  return {
    ...tls,
    get ca() {
      known = readIfThere(path) ?? known;
      return known;
    },
  };
}

/** Returns undefined while the file is being replaced. */
function readIfThere(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    return text === '' ? undefined : text;
  } catch {
    return undefined;
  }
}

function readSocket(options: URLSearchParams, tls: DatabaseTls | null): string | undefined {
  const path = options.get('socket');
  if (path === null) return undefined;
  if (!isAbsolute(path)) throw invalid('has a socket that is not an absolute path');
  if (tls) throw invalid('has a socket and ssl: what goes over a socket does not leave this machine');
  return path;
}

function decode(part: string, name: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalid(`has a "%" in its ${name} that is not an escape: write it as %25`);
  }
}

const escapeAdvice =
  'where user or password have one of @ / : # ? % [ ] \\ or a space, it must be percent-encoded (/ as %2F)';

/** Whether the text before the last @ has characters that end user or password early, or a % that is no escape. */
function hasUnescaped(text: string): boolean {
  const [, userInfo = ''] = /^[a-z]+:\/\/(.*)@/is.exec(text) ?? [];
  return /[/?#@[\]\\ ]|:.*:|%(?![0-9a-f]{2})/is.test(userInfo);
}

function invalid(message: string): AppError {
  return new AppError('ERR_CONFIG', message, {
    remedy: 'Write it as mysql://user:password@host:3306/schema (mariadb:// means the same).',
  });
}

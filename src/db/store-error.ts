import type { DatabaseUrl } from '../lib/database-url.ts';
import { AppError, codeOf, messageOf } from '../lib/errors.ts';

/** MySQL's and MariaDB's numbers: mysql2 names both from MySQL's table, which is wrong for some of MariaDB's. */
const refusals = new Set([1044, 1045, 1142, 1143, 1227, 1370, 1410, 1698]);
const unreachable = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
  'PROTOCOL_CONNECTION_LOST',
  'PROTOCOL_SEQUENCE_TIMEOUT',
]);

/**
 * Says what is wrong with the store in words for the operator: ERR_STORE_UNREACHABLE (retryable), ERR_STORE_ACCESS with
 * the GRANT that mends it, else ERR_STORE_SCHEMA. `account` is the server's name for us (`'hooks'@'10.0.0.%'`), when known.
 */
export function toStoreError(error: unknown, url: DatabaseUrl, account?: string): AppError {
  if (error instanceof AppError) return error;
  const errno = typeof error === 'object' && error !== null && 'errno' in error ? Number(error.errno) : 0;
  const code = codeOf(error);
  if (refusals.has(errno)) {
    return new AppError('ERR_STORE_ACCESS', `the store ${url.safeUrl} refuses us: ${messageOf(error)}`, {
      remedy: errno === 1045 || errno === 1698 ? loginRemedy(url) : grantRemedy(url, account),
      cause: error,
    });
  }
  if (code !== undefined && unreachable.has(code)) {
    return new AppError(
      'ERR_STORE_UNREACHABLE',
      `the store at ${url.host}:${url.port} does not answer (${code})`,
      { cause: error, retryable: true },
    );
  }
  return new AppError('ERR_STORE_SCHEMA', `the store ${url.safeUrl}: ${messageOf(rootOf(error))}`, {
    cause: error,
  });
}

/** The statement that gives our user what it needs in the store. */
function grantRemedy(url: DatabaseUrl, account = `'${quoted(url.user)}'@'%'`): string {
  return `GRANT ALL ON \`${url.database}\`.* TO ${account};`;
}

function loginRemedy(url: DatabaseUrl): string {
  return (
    `Correct user and password in store.url (source.url where that is not set), or create the user: ` +
    `CREATE USER '${quoted(url.user)}'@'%' IDENTIFIED BY '…'; ${grantRemedy(url)}`
  );
}

function quoted(name: string): string {
  return name.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
}

/** Drizzle wraps the server's error in one whose message is the whole statement. */
function rootOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? rootOf(error.cause) : error;
}

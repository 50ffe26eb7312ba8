import { errnoOf, explainConnectError, type ConnectRole } from './connect-error.ts';
import { placeOf, type DatabaseUrl } from './database-url.ts';
import { AppError, messageOf } from '../../lib/errors.ts';
import { withoutValues } from '../../lib/server-error.ts';
import { contentionOf } from './retry-contention.ts';
import { setVariable } from './set-variable.ts';

const role: ConnectRole = {
  key: 'store.url (source.url where that is not set)',
  unreachable: 'ERR_STORE_UNREACHABLE',
  access: 'ERR_STORE_ACCESS',
};

/** Errors for privileges that GRANT ALL on the schema includes; lib/connect-error handles errors of connecting. */
const missingRights = new Set([1044, 1142, 1143, 1227, 1370, 1410]);
/** Read-only server, read-only transaction, a cluster node outside its cluster. */
const readOnly = new Set([1290, 1792, 1836]);
/** The server closes, or has closed, the connection; a cluster node is outside its cluster. */
const ending = new Set([1047, 1053, 1077, 1152, 1927, 4031]);

/**
 * Converts an error of the store to one for the operator: ERR_STORE_UNREACHABLE (retryable), ERR_STORE_ACCESS with the GRANT that fixes it,
 * otherwise ERR_STORE_SCHEMA. `account` is the server's name for our account (`'hooks'@'10.0.0.%'`), if known.
 */
export function toStoreError(error: unknown, url: DatabaseUrl, account?: string): AppError {
  if (error instanceof AppError) return error;
  const cause = withoutValues(error);
  const errno = errnoOf(cause) ?? 0;
  if (missingRights.has(errno)) {
    const told = `the store ${url.safeUrl} refuses us: ${messageOf(cause)}`;
    return new AppError('ERR_STORE_ACCESS', told, { remedy: grantRemedy(url, account), cause });
  }
  if (readOnly.has(errno)) return readOnlyStore(url, cause);
  return (
    explainConnectError(error, url, role) ??
    new AppError('ERR_STORE_SCHEMA', `the store ${url.safeUrl}: ${messageOf(cause)}`, {
      ...statementRemedy(errno),
      cause,
    })
  );
}

/**
 * Returns the error to throw for a failed statement. `isLost`: its connection, and those made before it, lead to no server that can take a
 * write: then the error is an AppError with a remedy. Otherwise it is the server's refusal, without values.
 */
export function explainFailure(error: unknown, url: DatabaseUrl): { error: unknown; isLost: boolean } {
  if (error instanceof AppError) return { error, isLost: false };
  const told = withoutValues(error);
  const errno = errnoOf(told);
  if (contentionOf(told) !== null) return { error: lockedStore(told), isLost: false };
  if (errno !== undefined && !readOnly.has(errno) && !ending.has(errno))
    return { error: told, isLost: false };
  const lost =
    errno !== undefined && readOnly.has(errno)
      ? readOnlyStore(url, told)
      : explainConnectError(told, url, role);
  return { error: lost ?? told, isLost: lost !== undefined };
}

function lockedStore(cause: unknown): AppError {
  return new AppError('ERR_STORE_LOCKED', `the store: ${messageOf(cause)}`, { cause, retryable: true });
}

/** The server of the store is a replica, or was made one. */
export function readOnlyStore(url: DatabaseUrl, cause?: unknown): AppError {
  return new AppError('ERR_STORE_ACCESS', `the server of the store, ${placeOf(url)}, is read only`, {
    remedy: errnoOf(cause) === innodbReadOnly ? innodbRemedy : readOnlyRemedy,
    cause,
    retryable: true,
  });
}

/** InnoDB itself accepts no writes: no statement changes that. */
const innodbReadOnly = 1836;
const innodbRemedy =
  'Remove innodb_read_only and innodb_force_recovery from [mysqld] in my.cnf and restart the server. If InnoDB was opened like this because its files are damaged, put the store back from a backup first.';
const readOnlyRemedy =
  'Name the primary server in store.url, or, if this is it: SET GLOBAL read_only = OFF; -- a replica must stay read only';

function statementRemedy(errno: number): { remedy?: string } {
  switch (errno) {
    case 1021:
    case 1114:
      return { remedy: 'Make room on the disk of the server, then run `migrate` again.' };
    case 1050:
      return {
        remedy:
          'The schema has a table of another program. Name a schema of its own in store.url; it is created where it is missing.',
      };
    case 1153:
      return { remedy: raisePacket(32 * 2 ** 20) };
    case 1205:
      return { remedy: 'Another session holds a lock on a table of the store: SHOW PROCESSLIST; shows it.' };
    case 1665:
      return {
        remedy: setVariable('binlog_format', 'ROW'),
      };
    default:
      return {};
  }
}

const largestPacketBytes = 2 ** 30;

/** Returns the statement that lets the store's server accept a statement of this size: the next power of two, at most 1 GiB. */
export function raisePacket(bytes: number): string {
  const wanted = Math.min(largestPacketBytes, 2 ** Math.ceil(Math.log2(bytes + 65_536)));
  return setVariable('max_allowed_packet', wanted);
}

/** Returns the statement that grants our user the privileges that it needs in the store. */
function grantRemedy(url: DatabaseUrl, account = `'${quoted(url.user)}'@'%'`): string {
  return `GRANT ALL ON \`${url.database}\`.* TO ${account};`;
}

function quoted(name: string): string {
  return name.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
}

/** The meaning of a server's error by its number. MySQL and MariaDB agree on these numbers. */
const meanings: Readonly<Record<number, string>> = {
  1021: 'the disk of the server is full',
  1022: 'a row with this key is there already',
  1040: 'all connections of the server are in use',
  1044: 'our user may not use the schema',
  1045: 'our user or its password is refused',
  1047: 'the node is not ready for statements',
  1048: 'a column that needs a value got none',
  1049: 'there is no such schema',
  1053: 'the server is shutting down',
  1054: 'a column is missing',
  1062: 'a row with this key is there already',
  1114: 'a table is full',
  1142: 'our user may not do this with the table',
  1143: 'our user may not do this with a column',
  1146: 'a table is missing',
  1153: 'the statement is larger than max_allowed_packet',
  1180: 'the commit failed',
  1020: 'another session changed the row since the statement began',
  1203: 'the limit of connections for a user is reached',
  1205: 'a lock was not granted in time',
  1213: 'a deadlock was resolved against us',
  1226: "a limit of our user's account is reached",
  1227: 'our user lacks a privilege',
  1264: 'a number is out of range',
  1265: 'a value does not fit its column',
  1290: 'the server is read only',
  1292: 'a value does not fit its column',
  1317: 'the statement was interrupted',
  1366: 'a value does not fit its column',
  1406: 'a value is too long for its column',
  1665: 'binlog_format is STATEMENT',
  1709: 'an index is too long for the row format',
  1792: 'the transaction is read only',
  1836: 'the server is read only',
  1969: 'the statement took too long',
  3024: 'the statement took too long',
  3140: 'a value is not valid JSON',
  3750: 'sql_require_primary_key refuses a table without a primary key',
  4025: 'a check constraint refuses the row',
};

/** From this number on the two servers use the same numbers for different errors, and mysql2 names them from MySQL's table. */
const firstAmbiguous = 1_900;

interface Refusal {
  errno: number;
  sqlState: string;
  code?: unknown;
}

/**
 * An error of the server in our own words. The server's text, the statement and the parameters are dropped, because they may contain patient data; the
 * rest of the program sees only this error.
 */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  /** The server's number: 1062. */
  readonly errno: number;
  /** mysql2's name for it: `ER_DUP_ENTRY`. */
  readonly code: string;
  readonly sqlState: string;

  constructor({ errno, sqlState, code }: Refusal) {
    const word = typeof code === 'string' ? code : 'UNKNOWN';
    const named = errno < firstAmbiguous ? `${word} ${errno}` : String(errno);
    super(`${meanings[errno] ?? 'the server refused a statement'} (error ${named})`);
    this.errno = errno;
    this.code = word;
    this.sqlState = sqlState;
  }
}

/** The server error within an error or its causes (Drizzle wraps it); undefined when no server sent one. */
export function refusalWithin(error: unknown): ServerError | undefined {
  for (let inner = error; inner instanceof Error; inner = inner.cause) {
    if (inner instanceof ServerError) return inner;
    if (isRefusal(inner)) return new ServerError(inner);
  }
  return undefined;
}

/**
 * Converts the error of a failed statement for the rest of the program: a server error becomes a ServerError; any other error loses the statement and the
 * parameters that mysql2 and Drizzle add to it.
 */
export function withoutValues(error: unknown): unknown {
  const refusal = refusalWithin(error);
  if (refusal) return refusal;
  const inner = error instanceof Error && 'params' in error ? error.cause : error;
  if (inner instanceof Error && 'sql' in inner) inner.sql = undefined;
  return inner;
}

function isRefusal(error: Error): error is Error & Refusal {
  return (
    'errno' in error &&
    typeof error.errno === 'number' &&
    error.errno > 0 &&
    'sqlState' in error &&
    typeof error.sqlState === 'string'
  );
}

import type { Connection, RowDataPacket } from 'mysql2';
import { errnoOf } from '../../db/connection/connect-error.ts';
import { placeOf, type DatabaseUrl } from '../../db/connection/database-url.ts';
import { AppError } from '../../lib/errors.ts';
import { nearest } from '../../lib/suggest.ts';
import { steps } from '../remedy.ts';
import { quoteName } from './quote-name.ts';

/** ER_BAD_DB_ERROR: the server has no such schema, and the user is allowed to know this. */
const noSchema = 1049;
/** ER_DBACCESS_DENIED_ERROR: the response for a schema without a grant as well as for a missing schema. */
const schemaRefused = 1044;

/** Whether a connection failed because the user sees no schema with the name in source.url. */
export function isSchemaMissing(error: unknown): error is AppError {
  return error instanceof AppError && [noSchema, schemaRefused].includes(errnoOf(error.cause) ?? 0);
}

/** A remedy lists at most this many schemas. */
const listed = 10;
/** System schemas, which contain no clinic. */
const ofTheServer = new Set(['information_schema', 'performance_schema', 'mysql', 'sys']);

/**
 * Explains what to do when the user sees no schema with the name in `url`. Spelling comes first: both servers accept a GRANT on a
 * misspelt name, and it changes nothing. `connect` opens a connection without a schema.
 */
export async function explainMissingSchema(
  error: AppError,
  url: DatabaseUrl,
  connect: () => Connection,
): Promise<AppError> {
  const seen = await readSchemas(connect);
  const name = url.database;
  const meant = nearest(name, seen);
  const known =
    meant !== undefined
      ? `did you mean ${meant}? Letter case may matter`
      : seen.length > 0 && seen.length <= listed
        ? `the user sees ${seen.join(', ')}`
        : 'letter case may matter';
  const isRefused = errnoOf(error.cause) === schemaRefused;
  const message = isRefused
    ? `The user ${url.user} sees no schema ${name} at ${placeOf(url)}: there is none of that name, or nothing is granted on it.`
    : error.message;
  return new AppError(error.code, message, {
    remedy: steps(
      `Check the spelling of the schema at the end of source.url: ${known}. This lists the schemas that the user sees:`,
      'SHOW DATABASES;',
      ...(isRefused
        ? [
            'Or, where the spelling is right, let the user read it:',
            `GRANT SELECT ON ${quoteName(name)}.* TO ${quotedUser(url)}@'%';`,
          ]
        : [
            'Or, where it was dropped, create it again and put its tables back from a backup:',
            `CREATE DATABASE ${quoteName(name)};`,
          ]),
    ),
    cause: error.cause,
  });
}

const quotedUser = ({ user }: DatabaseUrl): string =>
  `'${user.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** Lists the schemas that the user sees; empty if the query fails. */
function readSchemas(connect: () => Connection): Promise<string[]> {
  return new Promise((resolve) => {
    const connection = connect();
    const end = (names: readonly string[]): void => {
      connection.destroy();
      resolve(names.filter((name) => !ofTheServer.has(name.toLowerCase())));
    };
    connection.on('error', () => end([]));
    connection.query<RowDataPacket[]>({ sql: 'SHOW DATABASES', rowsAsArray: true }, (error, rows) =>
      end(error ? [] : rows.map((row) => String((row as unknown as unknown[])[0]))),
    );
  });
}

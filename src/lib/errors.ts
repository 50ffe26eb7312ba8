import { refusalWithin, withoutValues } from './server-error.ts';

/**
 * The one error catalogue: a stable word code, what it means and the general remedy.
 * The README's table of errors is checked against it by a test.
 */
export const errorCatalogue = {
  ERR_USAGE: {
    exit: 2,
    cause: 'The command was called with a wrong or missing argument.',
    remedy: 'Correct what the message names; --help lists the options of the command.',
  },
  ERR_CONFIG: {
    exit: 2,
    cause: 'The configuration file has one or more mistakes.',
    remedy: 'Correct the lines that the message names.',
  },
  ERR_RULES: {
    exit: 2,
    cause: 'The rules file has one or more mistakes, or does not fit the schema.',
    remedy: 'Correct the lines that the message names.',
  },
  ERR_PREFLIGHT: {
    exit: 1,
    cause: 'The source server is not ready to be read.',
    remedy: 'Run the statements that `check` prints.',
  },
  ERR_SOURCE_UNREACHABLE: {
    exit: 1,
    cause: 'The source server does not answer.',
    remedy: 'Check host, port and firewall of source.url.',
  },
  ERR_SOURCE_ACCESS: {
    exit: 1,
    cause: 'The source server refuses the user, the password or the schema.',
    remedy: 'Check user, password and schema of source.url, then run the grants that `check` prints.',
  },
  ERR_DRIVER: {
    exit: 1,
    cause: 'The installed mysql2 lacks a member that the reader of the binlog needs.',
    remedy: 'Install the versions of package-lock.json: npm ci.',
  },
  ERR_SERVER_ID_TAKEN: {
    exit: 1,
    cause:
      'Another reader is connected to the source under our replication server id; this daemon does not capture meanwhile.',
    remedy: 'Stop the other daemon; give a copy of this installation a store of its own.',
  },
  ERR_STORE_UNREACHABLE: {
    exit: 1,
    cause: 'The store does not answer.',
    remedy: 'Check host, port and firewall of store.url (source.url where that is not set).',
  },
  ERR_STORE_ACCESS: {
    exit: 1,
    cause: 'The store refuses the user, the password or the schema.',
    remedy: 'Grant the user ALL on the schema of the store.',
  },
  ERR_STORE_SCHEMA: {
    exit: 1,
    cause: 'The schema of the store could not be migrated.',
    remedy: 'Read the cause, then run `migrate` again.',
  },
  ERR_STORE_PACKET: {
    exit: 1,
    cause: "A statement is larger than max_allowed_packet of the store's server.",
    remedy: 'Raise max_allowed_packet there, as the message says.',
  },
  ERR_STORE_LOCKED: {
    exit: 1,
    cause: 'Another session holds a lock in the store for too long.',
    remedy:
      'It is tried again. SHOW FULL PROCESSLIST; -- shows who holds the lock: a backup, LOCK TABLES, ALTER TABLE',
  },
  ERR_SECRET_KEY: {
    exit: 1,
    cause:
      'A secret in the store was encrypted with an encryption key or a key file that is not configured, or with a different one of the same name.',
    remedy:
      'Put the key back, under store.old_encryption_keys, or the key file; a key may be removed once everything is encrypted with the new key.',
  },
  ERR_AUDIT: {
    exit: 1,
    cause:
      'The sealed log in the store was changed after it was sealed, and not by this program. Nothing is sealed or dropped.',
    remedy:
      'Run `audit verify`; put the rows that it names back from a backup of the store, and keep a copy of both as evidence.',
  },
  ERR_LEASE_LOST: {
    exit: 1,
    cause: 'Another process captures now, or an operator moved the position.',
    remedy: 'Nothing to do: this process becomes a standby or reads the new position.',
  },
  ERR_PORT_IN_USE: {
    exit: 1,
    cause: 'Another process listens on the address of http.listen.',
    remedy: 'Stop it or choose another port in http.listen.',
  },
  ERR_NOT_FOUND: {
    exit: 1,
    cause: 'There is no such webhook, delivery or event.',
    remedy: 'List them and use an id from the list.',
  },
  ERR_UNKNOWN_PATIENT: {
    exit: 1,
    cause: 'The store has no data of a patient with this number.',
    remedy:
      'Check the number: it is compared exactly, with its zeros and spaces. An erasure is on record all the same, and covers what was committed before it and is not captured yet.',
  },
  ERR_CONFLICT: {
    exit: 1,
    cause: 'The webhook is managed by the configuration file, or another webhook has its name.',
    remedy: 'Edit it in the file, or choose another name.',
  },
  ERR_UNAUTHENTICATED: {
    exit: 1,
    cause: 'The API request has no token, or an unknown token.',
    remedy: 'Send a token whose hash is in http.tokens: Authorization: Bearer …',
  },
  ERR_FORBIDDEN: {
    exit: 1,
    cause: 'The role of the token does not allow this.',
    remedy: 'Use a token with the role that the remedy names.',
  },
  ERR_RATE_LIMITED: {
    exit: 1,
    cause: 'Too many requests with unknown tokens came from this address.',
    remedy: 'Wait a minute, then send a token whose hash is in http.tokens.',
  },
  ERR_HOST: {
    exit: 1,
    cause: 'The Host header of the request names another server.',
    remedy: 'Use the address of http.listen, or add the name to http.hosts in the configuration.',
  },
  ERR_METHOD: {
    exit: 1,
    cause: 'The path of the API does not have this method.',
    remedy: 'Use a method of the header `Allow`.',
  },
  ERR_MEDIA_TYPE: {
    exit: 1,
    cause: 'The body of the request is not JSON.',
    remedy: 'Send it with the header Content-Type: application/json.',
  },
  ERR_REQUEST_SIZE: {
    exit: 1,
    cause: 'The body, the headers or the address of the request is too large.',
    remedy: 'Send a body of at most 64 KiB, headers of at most 16 KiB, and shorter parts of the address.',
  },
  ERR_REQUEST_TIMEOUT: {
    exit: 1,
    cause: 'The request did not arrive in time.',
    remedy: 'Send the whole request again, without pauses.',
  },
  ERR_HALTED: {
    exit: 1,
    cause: 'Capture is halted: if it continued, it would lose, invent or misread a change.',
    remedy: 'Fix the cause, or accept the gap, which is recorded: `resume --accept-gap --reason "…"`.',
  },
  ERR_NOT_HALTED: {
    exit: 1,
    cause: 'Capture is not halted: there is no gap to accept.',
    remedy: 'Nothing to do; `status` shows where capture stands.',
  },
  ERR_SERVER_BINARY: {
    exit: 1,
    cause: 'No database server was found or could be fetched for the private throwaway server.',
    remedy: 'Put mysqld or mariadbd on PATH, or let apt-get reach a Debian mirror.',
  },
  ERR_OUTPUT: {
    exit: 1,
    cause: 'Standard output cannot be written, for example because its disk is full.',
    remedy: 'Write the output to a disk with free space, or into a pipe that is read to its end.',
  },
  ERR_INTERNAL: {
    exit: 1,
    cause: 'A fault of odontology-webhooks itself.',
    remedy: 'Report it with the message and the stack that `log.level: debug` prints.',
  },
} as const satisfies Record<string, { exit: 1 | 2; cause: string; remedy: string }>;

export type ErrorCode = keyof typeof errorCatalogue;

export interface AppErrorOptions {
  /** The statement or the edit that fixes it, ready to paste. Default: the catalogue's remedy. */
  remedy?: string;
  cause?: unknown;
  /** Whether a retry can succeed without an operator's action. */
  retryable?: boolean;
}

/** An error with a message for operators: what happened and how to fix it. Its text never contains patient data. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly remedy: string;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.remedy = options.remedy ?? errorCatalogue[code].remedy;
    this.retryable = options.retryable ?? false;
  }

  /** Exit code: 2 for usage and configuration, 1 for everything else. */
  get exitCode(): 1 | 2 {
    return errorCatalogue[this.code].exit;
  }
}

/** The AppError within an error or its causes: Drizzle wraps what a refused connection throws. Undefined when there is none. */
export function appErrorWithin(error: unknown): AppError | undefined {
  for (let inner = error; inner instanceof Error; inner = inner.cause)
    if (inner instanceof AppError) return inner;
  return undefined;
}

/**
 * The text of anything thrown, on one line, without a stack. An error of a database server is reported in our own words, because its text, the statement
 * and the parameters may contain patient data.
 */
export function messageOf(error: unknown): string {
  if (error instanceof AppError) return error.message;
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  const told = withoutValues(error);
  return told instanceof Error ? told.message : String(told);
}

/** The word code of a Node or mysql2 error (`ECONNREFUSED`, `ER_ACCESS_DENIED_ERROR`), if it has one. */
export function codeOf(error: unknown): string | undefined {
  const told = error instanceof AppError ? error : (refusalWithin(error) ?? error);
  if (typeof told !== 'object' || told === null || !('code' in told)) return undefined;
  return typeof told.code === 'string' ? told.code : undefined;
}

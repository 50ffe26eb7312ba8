import type { HaltReason } from '../halt.ts';
import { backRemedy, purgedRemedy, steps } from '../remedy.ts';
import type { Flavour } from '../types.ts';

/** Why the server ended a dump; one error number has many of these meanings. */
export type DumpErrorKind =
  | 'purged'
  | 'ahead-of-source'
  | 'diverged'
  | 'no-such-file'
  | 'offset-beyond-file'
  | 'offset-inside-event'
  | 'server-id-taken'
  | 'access-denied'
  | 'log-off'
  | 'log-unreadable'
  | 'bad-request'
  | 'connection';

export interface DumpError {
  kind: DumpErrorKind;
  /** Why capture must stop; null when a retry is possible, or when our own configuration is wrong. */
  halt: Extract<HaltReason, 'purged' | 'ahead-of-source' | 'diverged'> | null;
  /** Whether an automatic retry can succeed. */
  retryable: boolean;
  message: string;
  remedy: string;
}

type Meaning = Omit<DumpError, 'kind'>;

const meanings: Readonly<Record<DumpErrorKind, Meaning>> = {
  purged: {
    halt: 'purged',
    retryable: false,
    message: 'The source has purged log files that were not read yet.',
    remedy: purgedRemedy,
  },
  'ahead-of-source': {
    halt: 'ahead-of-source',
    retryable: false,
    message:
      'The source lacks transactions that were read from it: it lost the end of its log, or was restored.',
    remedy: backRemedy('ahead-of-source'),
  },
  diverged: {
    halt: 'diverged',
    retryable: false,
    message: "The source's history is not the one that was read before.",
    remedy: backRemedy('diverged'),
  },
  'no-such-file': {
    halt: 'purged',
    retryable: false,
    message: 'The source has no log file of the name at which reading stopped: purged, or a RESET.',
    remedy: purgedRemedy,
  },
  'offset-beyond-file': {
    halt: 'ahead-of-source',
    retryable: false,
    message:
      'The log file at which reading stopped is now shorter than that: its end was lost, or it is another file.',
    remedy: backRemedy('ahead-of-source'),
  },
  'offset-inside-event': {
    halt: 'diverged',
    retryable: false,
    message:
      'In the log file at which reading stopped no event begins at that place: it is another file of the same name.',
    remedy: backRemedy('diverged'),
  },
  'server-id-taken': {
    halt: null,
    retryable: false,
    message: 'Another reader connected to the source under our replication server id.',
    remedy:
      'Stop the other daemon: only one may use this store. If it is a copy of this installation (a cloned machine), give it ' +
      'a store of its own: another schema in store.url.',
  },
  'access-denied': {
    halt: null,
    retryable: false,
    message: 'The source does not let our user read its log.',
    remedy: steps('This command prints the GRANT that is missing:', 'odontology-webhooks check'),
  },
  'log-off': {
    halt: null,
    retryable: false,
    message: 'The source writes no binary log.',
    remedy: 'Add log_bin = binlog under [mysqld] in my.cnf and restart the server.',
  },
  'log-unreadable': {
    halt: null,
    retryable: true,
    message: 'The source cannot read its own log file.',
    remedy: "Look into the server's error log: a full or failing disk, or a damaged file.",
  },
  'bad-request': {
    halt: null,
    retryable: false,
    message: 'The source does not understand the request for its log.',
    remedy: "Report it with the server's version.",
  },
  connection: {
    halt: null,
    retryable: true,
    message: 'The connection to the source broke.',
    remedy: 'It is opened again by itself.',
  },
};

/** Error 1236 is distinguished only by its text. MySQL from 8.0 and MariaDB from 10.6; MySQL changed "master" to "source". */
const texts: readonly (readonly [RegExp, DumpErrorKind])[] = [
  [/purged required binary logs|required binlog files have been purged/i, 'purged'],
  [/has more GTIDs than the (source|master)/i, 'ahead-of-source'],
  [/slave has diverged|is missing the GTID|out-of-order sequence/i, 'diverged'],
  [/which is not in the master's binlog/i, 'ahead-of-source'],
  [/same server_uuid\/server_id/i, 'server-id-taken'],
  [/could not find first log file name/i, 'no-such-file'],
  [/position > file size|impossible position/i, 'offset-beyond-file'],
  [/exceeded max_allowed_packet|bogus data in log event|invalid log event/i, 'offset-inside-event'],
  [/binary log is not open/i, 'log-off'],
  [/anonymous transaction|AUTO_POSITION/i, 'diverged'],
  [/can not handle replication events|mariadb_slave_capability|position < 4/i, 'bad-request'],
];

/** Numbers with a single meaning. MariaDB's are missing from mysql2's table of names, so names are never used. */
const numbers: Readonly<Record<Flavour, Readonly<Record<number, DumpErrorKind>>>> = {
  mysql: {
    1789: 'purged',
    1227: 'access-denied',
    1045: 'access-denied',
    1381: 'log-off',
    1773: 'bad-request',
  },
  mariadb: {
    4052: 'server-id-taken',
    1227: 'access-denied',
    1045: 'access-denied',
    1381: 'log-off',
    1941: 'bad-request',
  },
};

const fatalReadError = 1236;

/**
 * Classifies the end of a dump. `errno` is the server's number, undefined when the connection broke without one. Lineage is proved
 * before every dump, so most of these are races (a purge between the proof and the dump) or our own fault.
 */
export function classifyDumpError(errno: number | undefined, message: string, flavour: Flavour): DumpError {
  const kind = kindOf(errno, message, flavour);
  return { kind, ...meanings[kind] };
}

function kindOf(errno: number | undefined, message: string, flavour: Flavour): DumpErrorKind {
  if (errno === undefined) return 'connection';
  const known = numbers[flavour][errno];
  if (known) return known;
  if (errno !== fatalReadError) return 'connection';
  return texts.find(([pattern]) => pattern.test(message))?.[1] ?? 'log-unreadable';
}

import type { Connection } from 'mysql2';
import { errnoOf } from './connect-error.ts';

/** The purpose of a session. */
export type SessionRole =
  | { kind: 'store' }
  /** `migrate` and the probe of `check`: statements that may take as long as an ALTER TABLE does. */
  | { kind: 'definition' }
  /** Queries to the source: read only, each ended by the server after this time. */
  | { kind: 'source'; queryTimeoutMs: number }
  /** The connection that receives the binlog. */
  | { kind: 'dump'; netWriteTimeoutSeconds: number };

type Assignments = Readonly<Record<string, string | number>>;

/** `!80030`: only on MySQL from 8.0.30 on; `M!100502`: only on MariaDB from 10.5.2 on. */
type Gate = `!${number}` | `M!${number}`;

/**
 * Every session variable that changes what our statements mean or whether they run, on all servers. A server may have another default for
 * any of them (my.cnf, SET GLOBAL, init_connect); the test of this file lists all the others with the reason why they do not matter. Each
 * can be set without a privilege: DEFAULT is used only if the global value is no danger.
 */
const everywhere: Assignments = {
  autocommit: 1,
  completion_type: 0,
  sql_safe_updates: 0,
  sql_big_selects: 1,
  max_join_size: '18446744073709551615',
  sql_select_limit: '18446744073709551615',
  sql_auto_is_null: 0,
  sql_quote_show_create: 1,
  timestamp: 'DEFAULT',
  time_zone: "'+00:00'",
  lc_messages: "'en_US'",
  lc_time_names: "'en_US'",
  div_precision_increment: 4,
  group_concat_max_len: 1_048_576,
  foreign_key_checks: 1,
  // With 0, InnoDB may skip the check of a secondary unique index, by which copies of events are refused.
  unique_checks: 1,
  default_storage_engine: 'InnoDB',
  default_tmp_storage_engine: 'InnoDB',
  optimizer_switch: "'default'",
  net_read_timeout: 60,
  net_write_timeout: 60,
  session_track_schema: 1,
  session_track_state_change: 0,
  session_track_transaction_info: "'OFF'",
  // mysql2 follows these two to know the encoding of text.
  session_track_system_variables: "'character_set_client,character_set_results'",
};

/** Variables that only one of the two servers has, or only some of its versions. */
const onSome: readonly (readonly [Gate, Assignments])[] = [
  [
    '!80000',
    {
      // Beyond it the optimizer scans the whole table, and an UPDATE locks all of it.
      range_optimizer_max_mem_size: 8_388_608,
      session_track_gtids: "'OFF'",
    },
  ],
  ['!80026', { terminology_use_previous: "'NONE'" }],
  // A generated primary key is in the log, so it must also be in the results of our dictionary queries.
  ['!80030', { show_gipk_in_create_table_and_information_schema: 1 }],
  [
    'M!100600',
    {
      check_constraint_checks: 1,
      max_session_mem_used: '9223372036854775807',
      old_mode: "''",
      skip_replication: 0,
      sql_if_exists: 0,
      system_versioning_asof: 'DEFAULT',
    },
  ],
  // On by default from here on. A statement that reads in one part and locks in another one could fail with ER_CHECKREAD even at READ
  // COMMITTED: seen once on 11.8 in a step of a replay beside appends.
  ['M!110602', { innodb_snapshot_isolation: 0 }],
];

/** STRICT: a value that is too long is an error and is never truncated. No ANSI_QUOTES, no NO_BACKSLASH_ESCAPES. */
const strictMode =
  "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'";

const idleTimeouts = (seconds: number): readonly [Gate, Assignments] => [
  'M!100600',
  {
    idle_transaction_timeout: seconds,
    idle_readonly_transaction_timeout: seconds,
    idle_write_transaction_timeout: seconds,
  },
];

/** The longest that a statement may take; 0: no limit. */
const statementTimeout = (ms: number): (readonly [Gate, Assignments])[] => [
  ['!80000', { max_execution_time: ms }],
  ['M!100600', { max_statement_time: ms / 1_000 }],
];

interface RoleSettings {
  own: Assignments;
  gated: readonly (readonly [Gate, Assignments])[];
  /**
   * READ COMMITTED: no gap locks between claimers and appenders.
   */
  transaction: string;
}

function settingsOf(role: SessionRole): RoleSettings {
  switch (role.kind) {
    case 'store':
      return {
        // The server ends a transaction that a frozen process left idle, which frees its locks. A lock that is not granted in 10 s, of a
        // row or of a table (a backup, an ALTER TABLE), is reported and retried.
        own: { sql_mode: strictMode, wait_timeout: 60, lock_wait_timeout: 10, innodb_lock_wait_timeout: 10 },
        gated: [...statementTimeout(0), idleTimeouts(60)],
        transaction: 'READ COMMITTED, READ WRITE',
      };
    case 'definition':
      return {
        own: {
          sql_mode: strictMode,
          wait_timeout: 28_800,
          lock_wait_timeout: 120,
          innodb_lock_wait_timeout: 50,
        },
        gated: [...statementTimeout(0), idleTimeouts(0), ['M!100600', { alter_algorithm: "'DEFAULT'" }]],
        transaction: 'READ COMMITTED, READ WRITE',
      };
    case 'source':
      return {
        // lock_wait_timeout is a year by default: a query behind an ALTER TABLE would wait for it, and capture with it.
        own: { sql_mode: "''", wait_timeout: 600, lock_wait_timeout: 5, innodb_lock_wait_timeout: 2 },
        gated: [...statementTimeout(role.queryTimeoutMs), idleTimeouts(600)],
        transaction: 'READ COMMITTED, READ ONLY',
      };
    case 'dump':
      return {
        own: {
          sql_mode: "''",
          wait_timeout: 28_800,
          net_write_timeout: role.netWriteTimeoutSeconds,
        },
        gated: [...statementTimeout(0), idleTimeouts(0)],
        transaction: 'READ COMMITTED, READ ONLY',
      };
  }
}

/**
 * Returns the statements that make a new session independent of the server's settings: two, whatever the number of variables. Variables of
 * one server or version are in executable comments that the others skip. Neither statement has a quote or a backslash that another sql_mode
 * could read differently.
 */
export function sessionStatements(role: SessionRole): string[] {
  const { own, gated, transaction } = settingsOf(role);
  const always = assign({ ...everywhere, ...own });
  const some = [...onSome, ...gated].map(([gate, values]) => ` /*${gate} , ${assign(values)} */`);
  return [
    `SET NAMES utf8mb4, ${always}${some.join('')}`,
    `SET SESSION TRANSACTION ISOLATION LEVEL ${transaction}`,
  ];
}

function assign(values: Assignments): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}

/**
 * Returns the names of the variables that sessions of this role set, on whichever server has them.
 * @internal
 */
export function sessionVariables(role: SessionRole): Set<string> {
  const { own, gated } = settingsOf(role);
  return new Set([
    ...['character_set_client', 'character_set_connection', 'character_set_results', 'collation_connection'],
    ...['transaction_isolation', 'transaction_read_only', 'tx_isolation', 'tx_read_only'],
    ...[everywhere, own, ...[...onSome, ...gated].map(([, values]) => values)].flatMap(Object.keys),
  ]);
}

/**
 * Keeps the text of statements, which contains the written values, out of the binlog's comments, and unchanged columns of an UPDATE out of
 * its row images: the row of the checkpoint holds the known columns of the tables (20 KB with both images on a clinic of 11 tables), and is
 * written every 5 s. Each takes a privilege that our user need not have (BINLOG ADMIN, SESSION_VARIABLES_ADMIN): a refusal is ignored.
 */
const lessLogged = [
  'SET @unused = 0 /*!80000 , SESSION binlog_rows_query_log_events = 0 */ /*M!100600 , SESSION binlog_annotate_row_events = 0 */',
  'SET SESSION binlog_row_image = MINIMAL',
];
const refused = 1227;

/**
 * Queues the settings on a new connection, before any statement of its user. The connection is destroyed if a setting is refused;
 * `failures` then has the server's error by connection.
 */
export function prepareSession(
  connection: Connection,
  role: SessionRole,
  failures: WeakMap<object, Error>,
): void {
  const fail = (error: Error): void => {
    if (!failures.has(connection)) failures.set(connection, error);
    connection.destroy();
  };
  for (const sql of sessionStatements(role)) connection.query(sql, (error) => error && fail(error));
  if (role.kind !== 'store') return;
  for (const sql of lessLogged) {
    connection.query(sql, (error) => {
      if (error && errnoOf(error) !== refused) fail(error);
    });
  }
}

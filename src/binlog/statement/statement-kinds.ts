/**
 * What a statement means for a reader of rows.
 *
 * - `begin`, `commit`, `rollback`, `rollback-to`, `savepoint`, `control`, `xa-…`: transaction control; `control` has no effect by itself.
 * - `harmless`: commits implicitly, and changes neither rows nor what the reader knows about tables, views or routines.
 * - `definition`: changes what is known; neither adds nor removes rows, except in the forms that `findUnloggedRows` finds.
 * - `reference`: a definition of a view, a trigger or a routine: it also changes what statements can reach through it.
 * - `change`: changes rows as a statement, or may: a query can call a function that changes rows.
 * - `unknown`: its effect cannot be determined.
 */
export type StatementEffect =
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'rollback-to'
  | 'savepoint'
  | 'control'
  | 'xa-prepare'
  | 'xa-commit'
  | 'xa-rollback'
  | 'harmless'
  | 'definition'
  | 'reference'
  | 'change'
  | 'unknown';

export interface StatementKind {
  /** First words, in upper case; for CREATE, ALTER and DROP the verb and the kind of object. Empty: never logged as separate text. */
  heads: readonly string[];
  effect: StatementEffect;
}

const kind = (effect: StatementEffect, ...heads: string[]): StatementKind => ({ heads, effect });

/** All kinds of statements that MySQL up to 9.7 and MariaDB up to 12 count, by name of the counter: `SHOW GLOBAL STATUS LIKE 'Com\_%'`. */
const statementKinds: Readonly<Record<string, StatementKind>> = {
  // Transactions
  begin: kind('begin', 'BEGIN', 'START TRANSACTION'),
  commit: kind('commit', 'COMMIT'),
  rollback: kind('rollback', 'ROLLBACK'),
  rollback_to_savepoint: kind('rollback-to', 'ROLLBACK TO', 'ROLLBACK WORK TO'),
  savepoint: kind('savepoint', 'SAVEPOINT'),
  release_savepoint: kind('control', 'RELEASE SAVEPOINT', 'RELEASE'),
  xa_start: kind('control', 'XA START', 'XA BEGIN'),
  xa_end: kind('control', 'XA END'),
  xa_prepare: kind('xa-prepare', 'XA PREPARE'),
  xa_commit: kind('xa-commit', 'XA COMMIT'),
  xa_rollback: kind('xa-rollback', 'XA ROLLBACK'),
  xa_recover: kind('harmless', 'XA RECOVER'),

  // Changes of rows, and statements that may call a function that changes rows
  insert: kind('change', 'INSERT'),
  insert_select: kind('change'),
  replace: kind('change', 'REPLACE'),
  replace_select: kind('change'),
  update: kind('change', 'UPDATE'),
  update_multi: kind('change'),
  delete: kind('change', 'DELETE'),
  delete_multi: kind('change'),
  delete_history: kind('harmless', 'DELETE HISTORY'),
  load: kind('change', 'LOAD DATA', 'LOAD XML'),
  select: kind('change', 'SELECT', 'WITH', 'VALUES', 'TABLE'),
  do: kind('change', 'DO'),
  call_procedure: kind('change', 'CALL'),
  compound_sql: kind('change', 'BEGIN NOT', 'DECLARE', 'IF', 'CASE', 'LOOP', 'WHILE', 'REPEAT', 'FOR'),
  execute_sql: kind('change', 'EXECUTE'),
  execute_immediate: kind('change', 'EXECUTE IMMEDIATE'),
  binlog: kind('change', 'BINLOG'),
  explain: kind('change', 'EXPLAIN', 'DESCRIBE', 'DESC', 'ANALYZE'),
  explain_other: kind('harmless', 'EXPLAIN FOR'),

  // Tables and schemas
  create_table: kind('definition', 'CREATE TABLE'),
  create_temporary_table: kind('harmless'),
  alter_table: kind('definition', 'ALTER TABLE'),
  drop_table: kind('definition', 'DROP TABLE', 'DROP TABLES'),
  drop_temporary_table: kind('harmless'),
  rename_table: kind('definition', 'RENAME TABLE', 'RENAME TABLES'),
  truncate: kind('definition', 'TRUNCATE'),
  import: kind('unknown', 'IMPORT'),
  create_index: kind('definition', 'CREATE INDEX'),
  drop_index: kind('definition', 'DROP INDEX'),
  create_sequence: kind('definition', 'CREATE SEQUENCE'),
  alter_sequence: kind('definition', 'ALTER SEQUENCE'),
  drop_sequence: kind('definition', 'DROP SEQUENCE'),
  create_db: kind('definition', 'CREATE DATABASE', 'CREATE SCHEMA'),
  alter_db: kind('definition', 'ALTER DATABASE', 'ALTER SCHEMA'),
  // Renames a schema together with all its tables.
  alter_db_upgrade: kind('unknown'),
  drop_db: kind('definition', 'DROP DATABASE', 'DROP SCHEMA'),

  // Views, triggers, routines. The server logs what an event or a procedure does statement by statement.
  create_view: kind('reference', 'CREATE VIEW', 'ALTER VIEW'),
  drop_view: kind('reference', 'DROP VIEW'),
  create_trigger: kind('reference', 'CREATE TRIGGER'),
  alter_trigger: kind('reference', 'ALTER TRIGGER'),
  drop_trigger: kind('reference', 'DROP TRIGGER'),
  create_procedure: kind('reference', 'CREATE PROCEDURE'),
  alter_procedure: kind('reference', 'ALTER PROCEDURE'),
  drop_procedure: kind('reference', 'DROP PROCEDURE'),
  create_function: kind('reference', 'CREATE FUNCTION'),
  alter_function: kind('reference', 'ALTER FUNCTION'),
  drop_function: kind('reference', 'DROP FUNCTION'),
  create_udf: kind('reference'),
  create_package: kind('reference', 'CREATE PACKAGE'),
  create_package_body: kind('reference', 'CREATE PACKAGE BODY'),
  drop_package: kind('reference', 'DROP PACKAGE'),
  drop_package_body: kind('reference', 'DROP PACKAGE BODY'),
  create_library: kind('reference', 'CREATE LIBRARY'),
  alter_library: kind('reference', 'ALTER LIBRARY'),
  drop_library: kind('reference', 'DROP LIBRARY'),
  create_event: kind('reference', 'CREATE EVENT'),
  alter_event: kind('reference', 'ALTER EVENT'),
  drop_event: kind('reference', 'DROP EVENT'),

  // Accounts
  create_user: kind('harmless', 'CREATE USER'),
  alter_user: kind('harmless', 'ALTER USER'),
  alter_user_default_role: kind('harmless'),
  drop_user: kind('harmless', 'DROP USER'),
  rename_user: kind('harmless', 'RENAME USER'),
  create_role: kind('harmless', 'CREATE ROLE'),
  drop_role: kind('harmless', 'DROP ROLE'),
  grant: kind('harmless', 'GRANT'),
  grant_role: kind('harmless'),
  grant_roles: kind('harmless'),
  revoke: kind('harmless', 'REVOKE'),
  revoke_all: kind('harmless'),
  revoke_role: kind('harmless'),
  revoke_roles: kind('harmless'),
  set_password: kind('harmless'),
  set_role: kind('harmless'),
  create_masking_policy: kind('harmless', 'CREATE MASKING POLICY'),
  drop_masking_policy: kind('harmless', 'DROP MASKING POLICY'),

  // The server itself
  set_option: kind('harmless', 'SET'),
  set_resource_group: kind('harmless'),
  flush: kind('harmless', 'FLUSH'),
  reset: kind('harmless', 'RESET'),
  purge: kind('harmless', 'PURGE'),
  purge_before_date: kind('harmless'),
  kill: kind('harmless', 'KILL'),
  shutdown: kind('harmless', 'SHUTDOWN'),
  restart: kind('harmless', 'RESTART'),
  clone: kind('harmless', 'CLONE'),
  backup: kind('harmless', 'BACKUP'),
  backup_lock: kind('harmless'),
  lock_instance: kind('harmless'),
  unlock_instance: kind('harmless'),
  alter_instance: kind('harmless', 'ALTER INSTANCE'),
  install_plugin: kind('harmless', 'INSTALL'),
  install_component: kind('harmless'),
  uninstall_plugin: kind('harmless', 'UNINSTALL'),
  uninstall_component: kind('harmless'),
  create_server: kind('harmless', 'CREATE SERVER'),
  alter_server: kind('harmless', 'ALTER SERVER'),
  drop_server: kind('harmless', 'DROP SERVER'),
  alter_tablespace: kind(
    'harmless',
    'CREATE TABLESPACE',
    'ALTER TABLESPACE',
    'DROP TABLESPACE',
    'CREATE LOGFILE GROUP',
    'ALTER LOGFILE GROUP',
    'DROP LOGFILE GROUP',
  ),
  create_resource_group: kind('harmless', 'CREATE RESOURCE GROUP'),
  alter_resource_group: kind('harmless', 'ALTER RESOURCE GROUP'),
  drop_resource_group: kind('harmless', 'DROP RESOURCE GROUP'),
  create_spatial_reference_system: kind('harmless', 'CREATE SPATIAL REFERENCE SYSTEM'),
  drop_spatial_reference_system: kind('harmless', 'DROP SPATIAL REFERENCE SYSTEM'),

  // Maintenance of tables
  analyze: kind('harmless', 'ANALYZE TABLE', 'ANALYZE TABLES', 'ANALYZE LOCAL', 'ANALYZE NO_WRITE_TO_BINLOG'),
  check: kind('harmless', 'CHECK'),
  checksum: kind('harmless', 'CHECKSUM'),
  optimize: kind('harmless', 'OPTIMIZE'),
  repair: kind('harmless', 'REPAIR'),
  assign_to_keycache: kind('harmless', 'CACHE'),
  preload_keys: kind('harmless', 'LOAD INDEX'),
  lock_tables: kind('harmless', 'LOCK'),
  unlock_tables: kind('harmless', 'UNLOCK'),

  // Replication
  change_master: kind('harmless', 'CHANGE'),
  change_repl_filter: kind('harmless'),
  change_replication_source: kind('harmless'),
  replica_start: kind('harmless', 'START REPLICA', 'START SLAVE'),
  replica_stop: kind('harmless', 'STOP'),
  start_slave: kind('harmless'),
  stop_slave: kind('harmless'),
  start_all_slaves: kind('harmless', 'START ALL'),
  stop_all_slaves: kind('harmless'),
  group_replication_start: kind('harmless', 'START GROUP_REPLICATION'),
  group_replication_stop: kind('harmless'),

  // Statements that no server logs
  empty_query: kind('harmless', ''),
  admin_commands: kind('harmless'),
  change_db: kind('harmless', 'USE'),
  dealloc_sql: kind('harmless', 'DEALLOCATE', 'DROP PREPARE'),
  prepare_sql: kind('harmless', 'PREPARE'),
  get_diagnostics: kind('harmless', 'GET'),
  signal: kind('harmless', 'SIGNAL'),
  resignal: kind('harmless', 'RESIGNAL'),
  ha_open: kind('harmless', 'HANDLER'),
  ha_read: kind('harmless'),
  ha_close: kind('harmless'),
  help: kind('harmless', 'HELP'),
  show: kind('harmless', 'SHOW'),
  stmt: kind('harmless'),
};

/**
 * Returns the kind of a counter; all SHOW counters share one kind, and so do those of the protocol's prepared statements.
 * @internal
 */
export function kindOfCounter(counter: string): StatementKind | undefined {
  if (Object.hasOwn(statementKinds, counter)) return statementKinds[counter];
  if (counter.startsWith('show_')) return statementKinds['show'];
  return counter.startsWith('stmt_') ? statementKinds['stmt'] : undefined;
}

const effectOfHead: ReadonlyMap<string, StatementEffect> = new Map(
  Object.values(statementKinds).flatMap(({ heads, effect }) => heads.map((head) => [head, effect])),
);

/** Maximum number of words in a head. */
export const MAX_HEAD_WORDS = 4;

/** Returns the effect of a statement that begins with these words, by its longest known head. */
export function effectOf(words: readonly string[]): StatementEffect {
  for (let count = Math.min(words.length, MAX_HEAD_WORDS); count > 0; count -= 1) {
    const effect = effectOfHead.get(words.slice(0, count).join(' '));
    if (effect !== undefined) return effect;
  }
  return words.length === 0 ? 'harmless' : 'unknown';
}

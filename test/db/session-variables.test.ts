import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  sessionStatements,
  sessionVariables,
  type SessionRole,
} from '../../src/db/connection/session-variables.ts';
import { createSchema, createUser, servers, sharedServer } from '../support/server.ts';

const roles: readonly SessionRole[] = [
  { kind: 'store' },
  { kind: 'definition' },
  { kind: 'source', queryTimeoutMs: 15_000 },
  { kind: 'dump', netWriteTimeoutSeconds: 600 },
];

/** Session variables that our sessions leave alone, by the reason why their value does not matter. A name may end in `*`. */
const irrelevant: Readonly<Record<string, readonly string[]>> = {
  'It is read only in a session, and `check` or the client reads it where it matters.': [
    'error_count',
    'external_user',
    'gtid_owned',
    'in_transaction',
    'last_gtid',
    'max_allowed_packet',
    'max_user_connections',
    'net_buffer_length',
    'proxy_user',
    'statement_id',
    'warning_count',
  ],
  'It decides how the server logs or replicates. It takes a privilege to change it in a session, so that a session has the global value, which `check` checks.':
    [
      'binlog_*',
      'gtid_*',
      'group_replication_consistency',
      'immediate_server_version',
      'original_*',
      'pseudo_*',
      'rbr_exec_mode',
      'require_row_format',
      'server_id',
      'skip_parallel_replication',
      'sql_log_bin',
      'wsrep_*',
      'xa_detach_on_prepare',
    ],
  'It is an option of commands that only replicas run.': [
    'default_master_connection',
    'max_relay_log_size',
    'sql_slave_skip_counter',
  ],
  'Ids are never taken to follow each other; a cluster needs its own step.': [
    'auto_increment_increment',
    'auto_increment_offset',
  ],
  'Our tables state what it would decide: engine, row format, character set, collation, primary key, defaults. `migrate` is run against it in test/daemon/unfriendly-server.test.ts.':
    [
      'character_set_collations',
      'character_set_database',
      'character_set_server',
      'collation_database',
      'collation_server',
      'column_compression_*',
      'default_collation_for_utf8mb4',
      'enforce_storage_engine',
      'explicit_defaults_for_timestamp',
      'external_table_*',
      'innodb_strict_mode',
      'restrict_fk_on_non_standard_key',
      'sql_generate_invisible_primary_key',
      'sql_require_primary_key',
      'storage_engine',
      'system_versioning_alter_history',
      'system_versioning_insert_history',
    ],
  'The administrator decides whether tables are encrypted or compressed; it changes no statement.': [
    'default_table_encryption',
    'innodb_compression_default',
    'innodb_default_encryption_key_id',
  ],
  'It changes how fast an answer comes or how much memory it takes, not what it is.': [
    'analyze_*',
    'aria_*',
    'big_tables',
    'bulk_insert_buffer_size',
    'connection_memory_*',
    'deadlock_*',
    'enable_secondary_engine_statistics',
    'eq_range_index_dive_limit',
    'expensive_subquery_limit',
    'global_connection_memory_tracking',
    'histogram_*',
    'in_predicate_conversion_threshold',
    'information_schema_stats_expiry',
    'innodb_ddl_*',
    'innodb_parallel_read_threads',
    'innodb_tmpdir',
    'internal_tmp_mem_storage_engine',
    'join_*',
    'low_priority_updates',
    'max_delayed_threads',
    'max_heap_table_size',
    'max_insert_delayed_threads',
    'max_length_for_sort_data',
    'max_rowid_filter_size',
    'max_seeks_for_key',
    'max_tmp_session_space_usage',
    'max_tmp_tables',
    'mrr_buffer_size',
    'net_retry_count',
    'new_mode',
    'optimizer_adjust_secondary_key_costs',
    'optimizer_disk_*',
    'optimizer_extra_pruning_depth',
    'optimizer_index_*',
    'optimizer_join_limit_pref_ratio',
    'optimizer_key_*',
    'optimizer_max_*',
    'optimizer_prune_level',
    'optimizer_row_*',
    'optimizer_rowid_*',
    'optimizer_scan_*',
    'optimizer_search_depth',
    'optimizer_selectivity_sampling_limit',
    'optimizer_trace*',
    'optimizer_use_condition_selectivity',
    'optimizer_where_cost',
    'parser_max_mem_size',
    'preload_buffer_size',
    'progress_report_time',
    'query_alloc_block_size',
    'query_cache_*',
    'query_prealloc_size',
    'range_alloc_block_size',
    'read_buffer_size',
    'read_rnd_buffer_size',
    'rowid_merge_buff_size',
    'secondary_engine_cost_threshold',
    'set_operations_buffer_size',
    'sort_buffer_size',
    'sql_buffer_result',
    'tcp_nodelay',
    'thread_pool_priority',
    'tmp_*',
    'transaction_alloc_block_size',
    'transaction_prealloc_size',
    'use_secondary_engine',
    'use_stat_tables',
  ],
  'It decides what the server writes into its own logs, statistics and warnings, which we do not read.': [
    'log_*',
    'long_query_time',
    'max_error_count',
    'min_examined_row_limit',
    'note_verbosity',
    'profiling*',
    'slow_query_log',
    'sql_log_off',
    'sql_notes',
    'sql_warnings',
  ],
  'No statement of ours uses what it changes: other engines, full text, LOAD DATA, INTO OUTFILE, EXPLAIN, procedures, recursion, windows, encryption, passwords, vectors, redirection, regular expressions, long sort keys, seeds.':
    [
      'binlog_direct_non_transactional_updates',
      'block_encryption_mode',
      'character_set_filesystem',
      'cte_max_recursion_depth',
      'default_regex_flags',
      'default_week_format',
      'enable_cascade_triggers',
      'end_markers_in_json',
      'explain_*',
      'generated_random_password_length',
      'innodb_ft_*',
      'innodb_table_locks',
      'interactive_timeout',
      'keep_files_on_create',
      'mhnsw_*',
      'max_points_in_geometry',
      'max_recursive_iterations',
      'max_sort_length',
      'max_sp_recursion_depth',
      'myisam_*',
      'old',
      'old_alter_table',
      'old_passwords',
      'print_identified_with_as_hex',
      'rand_seed*',
      'redirect_url',
      'resultset_metadata',
      'select_into_*',
      'show_create_table_*',
      'standard_compliant_cte',
      'transaction_allow_batching',
      'updatable_views_with_limit',
      'windowing_use_high_precision',
    ],
  'MariaDB 11.6 has it on by default, and our sessions turn it off from there on. On an older server that has it on, its error is tried again as a deadlock is.':
    ['innodb_snapshot_isolation'],
  'It has no global value, and setting it would itself change the next INSERT (insert_id = 0 asks for the id 0).':
    ['identity', 'insert_id', 'last_insert_id'],
  'Only `migrate` changes tables, and sets it.': ['alter_algorithm'],
};

const patterns = Object.values(irrelevant).flat();

function isIrrelevant(name: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
  );
}

describe.each(servers)('the session variables of %s', (variant) => {
  const { flavour } = sharedServer(variant);
  it('are each set by our sessions, or listed with the reason why their value does not matter', async () => {
    const schema = await createSchema(sharedServer(variant));
    onTestFinished(() => schema.drop());
    const set = sessionVariables({ kind: 'store' });
    const without: string[] = [];
    for (const row of await schema.query('SHOW SESSION VARIABLES')) {
      const name = String(row['Variable_name']);
      const isSession = await schema.query(`SELECT @@SESSION.${name}`).then(
        () => true,
        () => false,
      );
      if (isSession && !set.has(name) && !isIrrelevant(name)) without.push(name);
    }
    expect(without).toEqual([]);
  });

  it.each(roles)('are set by a user without privileges, for $kind', async (role) => {
    const server = sharedServer(variant);
    const user = await createUser(server);
    const url = new URL(server.url);
    Object.assign(url, { username: user.user, password: user.password });
    const connection = await createConnection(url.href);
    onTestFinished(async () => {
      connection.destroy();
      await user.drop();
    });
    for (const sql of sessionStatements(role)) await connection.query(sql);
    const [rows] = await connection.query<RowDataPacket[]>('SHOW SESSION VARIABLES');
    const values = Object.fromEntries(rows.map((row) => [row['Variable_name'], row['Value']]));
    expect(values).toMatchObject({
      autocommit: 'ON',
      completion_type: 'NO_CHAIN',
      sql_select_limit: '18446744073709551615',
      [flavour === 'mysql' ? 'transaction_isolation' : 'tx_isolation']: 'READ-COMMITTED',
      [flavour === 'mysql' ? 'transaction_read_only' : 'tx_read_only']:
        role.kind === 'source' || role.kind === 'dump' ? 'ON' : 'OFF',
      ...(flavour === 'mysql'
        ? { show_gipk_in_create_table_and_information_schema: 'ON' }
        : { sql_if_exists: 'OFF', system_versioning_asof: 'DEFAULT' }),
      ...(variant === 'mariadb-11.8' && { innodb_snapshot_isolation: 'OFF' }),
    });
  });
});

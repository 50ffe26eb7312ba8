import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { readDictionary } from '../../src/binlog/source/dictionary.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { runCli, startDaemonProcess, writeConfig, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, createUser, servers, type TestSchema, type TestUser } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

/** Values against us, as an administrator may have set them for other programs. Each is a trap for statements that rely on the default. */
const everywhere = `
  autocommit=0, completion_type=2, sql_safe_updates=1, sql_big_selects=0, max_join_size=1, sql_select_limit=1,
  sql_auto_is_null=1, sql_quote_show_create=0, time_zone='-07:00', lc_messages='es_ES', lc_time_names='es_DO',
  div_precision_increment=0, group_concat_max_len=4, foreign_key_checks=0, unique_checks=0, default_storage_engine=MyISAM,
  default_tmp_storage_engine=MyISAM, net_read_timeout=1, net_write_timeout=1, wait_timeout=1, lock_wait_timeout=1,
  innodb_lock_wait_timeout=1, session_track_transaction_info='CHARACTERISTICS', session_track_state_change=1,
  session_track_system_variables='*', character_set_server=ucs2, auto_increment_increment=7, auto_increment_offset=3,
  innodb_default_row_format=compact, max_sort_length=8, max_error_count=0, tmp_table_size=16384, max_heap_table_size=16384,
  big_tables=1, max_seeks_for_key=1, default_week_format=3`;
const hostile = {
  mysql: `${everywhere}, transaction_isolation='SERIALIZABLE', transaction_read_only=1, max_execution_time=1,
    sql_mode='ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,NO_UNSIGNED_SUBTRACTION,TIME_TRUNCATE_FRACTIONAL,NO_AUTO_VALUE_ON_ZERO',
    range_optimizer_max_mem_size=1, session_track_gtids='ALL_GTIDS', sql_require_primary_key=1,
    sql_generate_invisible_primary_key=1, show_gipk_in_create_table_and_information_schema=0,
    explicit_defaults_for_timestamp=0, information_schema_stats_expiry=0, terminology_use_previous='BEFORE_8_0_26',
    optimizer_switch='index_merge=off,mrr_cost_based=off,derived_merge=off,materialization=off'`,
  mariadb: `${everywhere}, tx_isolation='SERIALIZABLE', tx_read_only=1, max_statement_time=0.001,
    sql_mode='ORACLE,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT,TIME_ROUND_FRACTIONAL',
    idle_transaction_timeout=1, idle_readonly_transaction_timeout=1, idle_write_transaction_timeout=1,
    max_session_mem_used=1048576, old_mode='NO_DUP_KEY_WARNINGS_WITH_IGNORE,ZERO_DATE_TIME_CAST',
    sql_if_exists=1, system_versioning_asof='2000-01-01 00:00:00', alter_algorithm='INSTANT', check_constraint_checks=0,
    optimizer_switch='index_merge=off,derived_merge=off,materialization=off'`,
};
const atConnect = {
  mysql: 'SET timestamp = 1, session_track_gtids = OFF, NAMES latin1',
  mariadb: 'SET timestamp = 1, skip_replication = 1, NAMES latin1',
};

describe.each(servers)('a %s whose every setting is against us', { timeout: 180_000 }, (variant) => {
  const flavour = variant === 'mysql' ? 'mysql' : 'mariadb';
  let server: PrivateServer;
  let clinic: TestSchema;
  let account: TestUser;
  let receiver: TestReceiver;
  let yaml: string;
  let config: Awaited<ReturnType<typeof writeConfig>>;
  const storeUrl = (): string => clinic.url(account).replace(`/${clinic.name}`, `/store_${clinic.name}`);

  beforeAll(async () => {
    server = await startPrivateServer({ flavour: variant });
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    account = await createUser(server, [
      `${flavour === 'mysql' ? 'REPLICATION CLIENT' : 'BINLOG MONITOR'}, REPLICATION SLAVE ON *.*`,
      `SELECT ON ${clinic.name}.*`,
      `ALL ON store_${clinic.name}.*`,
    ]);
    receiver = await startTestReceiver();
    yaml = `
webhooks: [{ name: all, url: "${receiver.url}", events: ["*"], secret: ${testSecret} }]
audit: { seal_interval: 1s }
retention: { payloads: 1m, log: 1h }
${receiver.delivery}
`;
    config = await writeConfig(
      `source: { url: "${clinic.url(account)}" }\nstore: { url: "${storeUrl()}" }${yaml}`,
    );
    await clinic.query(`SET GLOBAL ${hostile[flavour].replaceAll(/,\s+(?=\w+=)/g, ', GLOBAL ')}`);
    await clinic.query('SET GLOBAL init_connect = ?', [atConnect[flavour]]);
  });
  afterAll(async () => {
    await config.remove();
    await receiver.stop();
    await server.stop();
  });

  const start = (): Promise<DaemonProcess> =>
    startDaemonProcess({ sourceUrl: clinic.url(account), storeUrl: storeUrl(), yaml });
  const command = (...args: string[]) => runCli([...args, '--config', config.file]);
  const insert = (id: number): Promise<unknown> =>
    clinic.query(
      `INSERT INTO patients (id, first_name, last_name, branch_id) VALUES (${id}, 'Ñusta''s \\\\ "A"', 'Peña 🦷', 1)`,
    );
  const untilSettled = (): Promise<unknown> =>
    waitFor(
      async () =>
        (await clinic.query(`SELECT COUNT(*) AS n FROM store_${clinic.name}.queue`))[0]?.['n'] === 0,
      { timeoutMs: 60_000, what: 'the queue to be empty' },
    );
  const untilReceived = (id: number): Promise<unknown> =>
    waitFor(() => receiver.received.find(({ data }) => data['patient_id'] === id), {
      timeoutMs: 60_000,
      what: `patient ${id}`,
    });

  it('is one that the store can be installed on, and `check` passes', async () => {
    expect(await command('migrate')).toMatchObject({ code: 0 });
    const { stdout } = await command('check', '--json');
    const { checks } = JSON.parse(stdout) as { checks: { id: string; level: string; detail: string }[] };
    expect(checks.filter(({ level }) => level === 'fail' || level === 'skip')).toEqual([]);
    const rows = await clinic.query(
      `SELECT table_name AS name, engine AS engine, row_format AS format FROM information_schema.tables
       WHERE table_schema = 'store_${clinic.name}' AND table_type = 'BASE TABLE' AND table_name <> '__drizzle_migrations'`,
    );
    expect(new Set(rows.map(({ engine, format }) => `${String(engine)} ${String(format)}`))).toEqual(
      new Set(['InnoDB Dynamic']),
    );
  });

  if (flavour === 'mysql') {
    it('does not hide generated primary keys from the dictionary', async () => {
      await clinic.query(
        'SET SESSION sql_generate_invisible_primary_key = 1; CREATE TABLE citas (codigo VARCHAR(10), estado VARCHAR(20))',
      );
      const source = openSource(parseDatabaseUrl(clinic.url(account)));
      onTestFinished(() => source.close());
      const { tables } = await readDictionary(source, await source.identify());
      expect(tables.get('citas')).toMatchObject({ key: ['my_row_id'] });
    });
  }

  it('has its changes captured, delivered, retried, rescued, pruned and proven', async () => {
    let daemon = await start();
    await daemon.untilReady();
    receiver.answer = ({ data }) =>
      data['patient_id'] === 50_001 &&
      receiver.received.every(({ data: before }) => before['patient_id'] !== 50_001)
        ? 503
        : 204;
    await insert(50_001);
    await waitFor(() => receiver.received.filter(({ data }) => data['patient_id'] === 50_001).length === 2, {
      timeoutMs: 30_000,
      what: 'the retry',
    });
    expect(receiver.received.at(-1)).toMatchObject({
      verified: true,
      data: { first_name: 'Ñusta\'s \\ "A"', last_name: 'Peña 🦷' },
    });

    // An outcome that is not on record when the daemon is killed would be a second lost attempt.
    await untilSettled();
    const hanging = Promise.withResolvers<undefined>();
    const asked = Promise.withResolvers<undefined>();
    receiver.answer = async () => {
      asked.resolve(undefined);
      await hanging.promise;
      return 204;
    };
    await insert(50_002);
    await asked.promise;
    await daemon.kill();
    hanging.resolve(undefined);
    receiver.answer = () => 204;
    daemon = await start();
    await daemon.untilReady();
    await insert(50_003);
    await untilReceived(50_003);
    await untilSettled();
    const [lost] = await clinic.query(
      `SELECT COUNT(*) AS n FROM store_${clinic.name}.attempts WHERE outcome = 'lost'`,
    );
    expect(lost).toEqual({ n: 1 });
    await waitFor(
      async () => {
        const { stdout } = await command('audit', 'verify');
        return (
          stdout.includes('3 deliveries are as their attempts') &&
          !stdout.includes('newer than the last seal')
        );
      },
      { timeoutMs: 60_000, everyMs: 1_000, what: 'the log to be sealed' },
    );
    expect(await daemon.stop()).toBe(0);
    expect(daemon.log.filter(({ level }) => level === 'error')).toEqual([]);

    // The shortest retention is a minute, and a moment that SQL changed takes nothing away.
    await waitFor(
      async () => {
        expect(await command('prune', '--yes')).toMatchObject({ code: 0 });
        const [left] = await clinic.query(
          `SELECT COUNT(*) AS n FROM store_${clinic.name}.event_log WHERE body IS NOT NULL`,
        );
        return left?.['n'] === 0;
      },
      { timeoutMs: 120_000, everyMs: 2_000, what: 'the payloads to outlive their retention' },
    );
    const verified = await command('audit', 'verify');
    expect(verified).toMatchObject({ code: 0 });
  });
});

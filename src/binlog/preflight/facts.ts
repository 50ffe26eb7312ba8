import { errnoOf } from '../../db/connection/connect-error.ts';
import type { Clock } from '../../lib/clock.ts';
import { readDictionary, type Dictionary } from '../source/dictionary.ts';
import { mayReplicate, readLogStatus } from '../source/log-file.ts';
import { quoteName } from '../source/quote-name.ts';
import type { Source, SourceIdentity } from '../source/source.ts';
import type { Watch } from '../types.ts';
import type { Facts, TableFacts } from './check.ts';
import type { PreflightOptions } from './check.ts';

const variableNames = [
  'log_bin',
  'binlog_format',
  'binlog_row_image',
  'binlog_row_metadata',
  'binlog_row_value_options',
  'binlog_transaction_compression',
  'log_bin_compress',
  'log_replica_updates',
  'log_slave_updates',
  'sync_binlog',
  'binlog_expire_logs_seconds',
  'binlog_expire_logs_auto_purge',
  'expire_logs_days',
  'max_binlog_total_size',
  'binlog_space_limit',
  'innodb_native_foreign_keys',
  'max_allowed_packet',
  'mysql56_temporal_format',
  // Indicators of a managed provider (managed.ts).
  ...['version_comment', 'basedir', 'datadir', 'aurora_version', 'aad_auth_only'],
];
const variablePrefixes = ['cloudsql', 'azure'];

const denied = new Set([1142, 1143, 1227, 1044]);

/** Queries the source once for everything the checks need. Throws when the source cannot be reached. */
export async function collectFacts(
  options: PreflightOptions & { lookups: Watch; clock: Clock },
): Promise<Facts> {
  const { source, watch, lookups, clock } = options;
  const identity = await source.identify();
  const dictionary = await readDictionary(source, identity, options.spelled ?? watch.keys());
  const wanted = [
    ...[...watch].map(([name, columns]) => ({ name, columns, watched: true })),
    ...[...lookups]
      .filter(([name]) => !watch.has(name))
      .map(([name, columns]) => ({ name, columns, watched: false })),
  ];
  return {
    source,
    identity,
    dictionary,
    variables: await readVariables(source),
    rdsRetention: await readRdsRetention(source),
    log: await readLogState(source, identity),
    tables: await Promise.all(wanted.map((each) => probeTable(source, dictionary, each))),
    unseen: [...(options.named?.keys() ?? [])].filter((name) => !dictionary.tables.has(name.toLowerCase())),
    mayReplicate: await mayReplicate(source),
    serverId: options.serverId ?? null,
    readerRuns: options.readerRuns ?? false,
    checkpoint: options.checkpoint ?? null,
    probeStore: options.probeStore ? once(options.probeStore) : null,
    clock,
  };
}

function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined;
  return () => (asked ??= ask());
}

async function readVariables(source: Source): Promise<Map<string, string>> {
  const names = variableNames.map((name) => `'${name}'`).join(', ');
  const prefixes = variablePrefixes.map((prefix) => ` OR Variable_name LIKE '${prefix}\\_%'`).join('');
  const rows = await source
    .query(`SHOW GLOBAL VARIABLES WHERE Variable_name IN (${names})${prefixes}`)
    .catch((error: unknown) => {
      // Each check reports that its variable could not be read.
      if (denied.has(errnoOf(error) ?? 0)) return [];
      throw error;
    });
  return new Map(rows.map((row) => [String(row['Variable_name']), String(row['Value'])]));
}

/**
 * Reads what `CALL mysql.rds_set_configuration` has set on RDS and Aurora. NULL, the default: the log is purged as soon as backups do
 * not need it (AWS, "mysql.rds_set_configuration"). An account without a privilege on the table gets 1142 whether the table exists or
 * not.
 */
async function readRdsRetention(source: Source): Promise<Facts['rdsRetention']> {
  try {
    const [row] = await source.query(
      "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'",
    );
    return row === undefined ? 'unknown' : { hours: row['value'] === null ? null : Number(row['value']) };
  } catch (error) {
    return denied.has(errnoOf(error) ?? 0) ? 'denied' : 'unknown';
  }
}

async function readLogState(source: Source, identity: SourceIdentity): Promise<Facts['log']> {
  try {
    const status = await readLogStatus(source, identity);
    return status ? { state: 'on', status } : { state: 'off' };
  } catch (error) {
    if (denied.has(errnoOf(error) ?? 0)) return { state: 'denied' };
    throw error;
  }
}

interface WantedTable {
  name: string;
  columns: ReadonlySet<string>;
  watched: boolean;
}

/** Tests access with SELECT: the dictionary hides columns without a grant, which then look like missing columns. */
async function probeTable(
  source: Source,
  dictionary: Dictionary,
  { name, columns, watched }: WantedTable,
): Promise<TableFacts> {
  const table = dictionary.tables.get(name.toLowerCase()) ?? null;
  const shown = [...columns].filter((column) => table?.columnOf.has(column.toLowerCase()));
  const hidden = [...columns].filter((column) => !table?.columnOf.has(column.toLowerCase()));
  const spelled = table?.name ?? name;
  const facts = { wanted: spelled, watched, columns, table, missingColumns: [] };
  const whole = await trySelect(source, spelled, [...shown, ...(table?.key ?? [])]);
  if (whole !== 'ok') return { ...facts, access: whole === 'no-column' ? 'denied' : whole };
  const missingColumns: string[] = [];
  for (const column of hidden) {
    const found = await trySelect(source, spelled, [column]);
    if (found === 'denied') return { ...facts, access: 'denied' };
    missingColumns.push(column);
  }
  return { ...facts, access: 'ok', missingColumns };
}

async function trySelect(
  source: Source,
  table: string,
  columns: readonly string[],
): Promise<'ok' | 'denied' | 'missing' | 'no-column'> {
  try {
    await source.query(
      `SELECT ${columns.length > 0 ? columns.map(quoteName).join(', ') : '1'} FROM ${quoteName(table)} LIMIT 0`,
    );
    return 'ok';
  } catch (error) {
    const number = errnoOf(error) ?? 0;
    if (denied.has(number)) return 'denied';
    if (number === 1146) return 'missing';
    if (number === 1054) return 'no-column';
    throw error;
  }
}

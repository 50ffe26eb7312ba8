import { setVariable } from '../../db/connection/set-variable.ts';
import { isAtLeast, nameVersion } from '../source/server-version.ts';
import { fail, pass, skip, unreadable, warn, type Check, type Facts } from './check.ts';

const oldest = { mysql: '8.0.1', mariadb: '10.6.0' } as const;

/** Open sessions keep the value they started with, and each may set its own. */
const reconnect = '\n-- then restart the application: open sessions keep the old value';
const perSession =
  'A session may still set it otherwise, which cannot be seen from here; the reader stops at the first such change.';

const serverVersion: Check = {
  id: 'server-version',
  title: 'Server version',
  run({ identity: { version } }) {
    const wanted = oldest[version.flavour];
    if (isAtLeast(version, wanted)) return pass(`${nameVersion(version)}.`);
    return fail(
      `${nameVersion(version)} cannot log column names with each change.`,
      `Upgrade the server to ${version.flavour === 'mysql' ? 'MySQL 8.0 or later' : 'MariaDB 10.6 or later'}.`,
    );
  },
};

const logBin: Check = {
  id: 'log-bin',
  title: 'Binary log',
  run(facts) {
    const value = facts.variables.get('log_bin');
    if (value === 'ON' || (value === undefined && facts.log.state === 'on'))
      return pass('The server writes a binary log.');
    return fail(
      value === undefined
        ? 'It is not known whether the server writes a binary log.'
        : 'The server writes no binary log.',
      'Under [mysqld] in my.cnf, then restart the server:\n' +
        `log_bin = binlog\nserver_id = ${facts.identity.serverId || 1}\nbinlog_format = ROW\nbinlog_row_metadata = FULL\nsync_binlog = 1`,
    );
  },
};

const binlogFormat: Check = {
  id: 'binlog-format',
  title: 'Log format',
  run(facts) {
    const value = facts.variables.get('binlog_format');
    if (value === undefined) return unreadable(facts, 'binlog_format');
    if (value === 'ROW') return pass(`Changes are logged as rows. ${perSession}`);
    return fail(
      `binlog_format is ${value}: changes are logged as statements, from which no row can be told.`,
      setVariable('binlog_format', "'ROW'", facts.identity.flavour) + reconnect,
    );
  },
};

const rowImage: Check = {
  id: 'row-image',
  title: 'Row image',
  run(facts) {
    const value = facts.variables.get('binlog_row_image');
    if (value === undefined) return unreadable(facts, 'binlog_row_image');
    if (value === 'FULL') return pass(`Rows are logged with all their columns. ${perSession}`);
    return warn(
      `binlog_row_image is ${value}: columns that a change did not touch are not in the log. What a rule needs of them is read ` +
        'from the table, later than the change; when the row is gone by then, capture stops.',
      setVariable('binlog_row_image', "'FULL'", facts.identity.flavour) + reconnect,
    );
  },
};

const rowMetadata: Check = {
  id: 'row-metadata',
  title: 'Column names in the log',
  run(facts) {
    const value = facts.variables.get('binlog_row_metadata');
    if (value === 'FULL') return pass('Each change is logged with the names and types of its columns.');
    return fail(
      `binlog_row_metadata is ${value ?? 'not there'}: after an ALTER TABLE, older changes would be read under wrong names.`,
      setVariable('binlog_row_metadata', "'FULL'", facts.identity.flavour),
    );
  },
};

const rowValueOptions: Check = {
  id: 'row-value-options',
  title: 'Partial JSON updates',
  run(facts) {
    if (facts.identity.flavour === 'mariadb') return null;
    const value = facts.variables.get('binlog_row_value_options');
    if (value === undefined) return unreadable(facts, 'binlog_row_value_options');
    if (value === '') return pass(`JSON values are logged whole. ${perSession}`);
    return fail(
      `binlog_row_value_options is ${value}: of a JSON value only what changed inside it is logged.`,
      setVariable('binlog_row_value_options', "''", facts.identity.flavour) + reconnect,
    );
  },
};

const compression: Check = {
  id: 'log-compression',
  title: 'Compression of the log',
  run(facts) {
    const name = facts.identity.flavour === 'mysql' ? 'binlog_transaction_compression' : 'log_bin_compress';
    const value = facts.variables.get(name);
    if (value === undefined) return facts.identity.flavour === 'mysql' ? unreadable(facts, name) : null;
    return pass(value === 'ON' ? `${name} is ON: what it compresses is unpacked.` : `${name} is ${value}.`);
  },
};

const schemaLogged: Check = {
  id: 'schema-logged',
  title: 'Schema in the log',
  run({ log, dictionary: { schema }, identity }) {
    if (log.state !== 'on') return skip('Needs the binary log and the right to ask for its status.');
    const { doSchemas, ignoredSchemas } = log.status;
    const isIn = (list: readonly string[]): boolean =>
      list.some((name) =>
        identity.lowerCaseTableNames === 0 ? name === schema : name.toLowerCase() === schema.toLowerCase(),
      );
    if (isIn(ignoredSchemas)) {
      return fail(
        `binlog_ignore_db keeps the schema ${schema} out of the log.`,
        `Remove the line binlog_ignore_db = ${schema} from my.cnf and restart the server.`,
      );
    }
    if (doSchemas.length === 0 || isIn(doSchemas)) return pass(`Changes of the schema ${schema} are logged.`);
    return fail(
      `binlog_do_db lets only ${doSchemas.join(', ')} into the log, not ${schema}.`,
      `Add the line binlog_do_db = ${schema} under [mysqld] in my.cnf (or remove the others) and restart the server.`,
    );
  },
};

const replicaUpdates: Check = {
  id: 'replica-updates',
  title: 'Changes that the source itself replicates',
  async run(facts) {
    const value = facts.variables.get('log_replica_updates') ?? facts.variables.get('log_slave_updates');
    if (value === undefined) return unreadable(facts, 'log_slave_updates');
    if (value === 'ON') return pass('Changes that the source replicates from elsewhere are in its log too.');
    const isReplica = await readReplicaState(facts);
    if (isReplica === null) return skip('It is not known whether the source is itself a replica.');
    if (!isReplica) return pass('The source replicates from nowhere.');
    const name = facts.variables.has('log_replica_updates') ? 'log_replica_updates' : 'log_slave_updates';
    return fail(
      `The source is a replica, and with ${name}=OFF what it replicates is not in its log.`,
      `Add the line ${name} = ON under [mysqld] in my.cnf and restart the server; or point source.url at its source.`,
    );
  },
};

/** Null when unknown. MariaDB requires SLAVE MONITOR for SHOW REPLICA STATUS; its replication position shows it, too. */
async function readReplicaState({ source, identity }: Facts): Promise<boolean | null> {
  try {
    if (identity.flavour === 'mariadb') {
      const [row] = await source.query('SELECT @@GLOBAL.gtid_slave_pos AS position');
      return String(row!['position']) !== '';
    }
    const statement = isAtLeast(identity.version, '8.0.22') ? 'SHOW REPLICA STATUS' : 'SHOW SLAVE STATUS';
    return (await source.query(statement)).length > 0;
  } catch {
    return null;
  }
}

/** What the log must contain, and contain completely. */
export const logSettingChecks: readonly Check[] = [
  serverVersion,
  logBin,
  binlogFormat,
  rowImage,
  rowMetadata,
  rowValueOptions,
  compression,
  schemaLogged,
  replicaUpdates,
];

/** Capture works without these settings, but does not survive every failure. */
const gtid: Check = {
  id: 'gtid',
  title: 'GTIDs',
  run({ identity }) {
    if (identity.flavour === 'mariadb') return pass('MariaDB numbers every transaction.');
    if (identity.gtidMode === 'on') return pass('Every transaction has a GTID.');
    return warn(
      `gtid_mode is ${identity.gtidMode.toUpperCase()}: positions are files and offsets of this very server, so that a failover to ` +
        'a replica cannot be followed.',
      'SET PERSIST enforce_gtid_consistency = ON;\nSET PERSIST gtid_mode = OFF_PERMISSIVE;\nSET PERSIST gtid_mode = ON_PERMISSIVE;\n' +
        "-- when SHOW STATUS LIKE 'ONGOING_ANONYMOUS_TRANSACTION_COUNT' is 0:\nSET PERSIST gtid_mode = ON;",
    );
  },
};

const syncBinlog: Check = {
  id: 'sync-binlog',
  title: 'Log on disk at commit',
  run(facts) {
    const value = facts.variables.get('sync_binlog');
    if (value === undefined) return unreadable(facts, 'sync_binlog');
    if (value === '1') return pass('A committed transaction is in the log on disk.');
    return warn(
      `sync_binlog is ${value}: when the machine crashes, transactions that were delivered may be missing from the source.`,
      setVariable('sync_binlog', '1', facts.identity.flavour),
    );
  },
};

export const logSafetyChecks: readonly Check[] = [gtid, syncBinlog];

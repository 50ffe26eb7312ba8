import { pass, type Check, type Facts } from './check.ts';

/*
 * Managed databases refuse SET PERSIST, SET GLOBAL and everything that needs SUPER, and have no my.cnf: their settings are changed with
 * the provider's own tools. Checks write remedies for a self-hosted server; this file rewrites them for the provider.
 */

export type Provider = 'rds' | 'aurora' | 'azure' | 'cloud-sql' | 'digitalocean' | 'planetscale';

/** What identifies a provider. */
export interface ServerSigns {
  version: string;
  /** The readable global variables, by name. */
  variables: ReadonlyMap<string, string>;
  /** The host of source.url. */
  host: string;
}

/**
 * Recognises the provider of a server by the server's variables, or else by the provider's domain; null for an unknown provider.
 *
 * Checked against documents:
 *
 * - Aurora has the variable `aurora_version` (AWS, "Aurora MySQL version numbers").
 * - RDS has its program under `/rdsdbbin/` (phpMyAdmin recognises it the same way).
 * - An Azure flexible server may show a plain version (MicrosoftDocs/azure-docs, issue 111774): then its domain identifies it.
 *
 * From general knowledge, neither checked against documents nor run on a server of the provider:
 *
 * - RDS has its data under `/rdsdbdata/`.
 * - Cloud SQL ends its version with `-google`, has `(Google)` as `version_comment`, and has variables `cloudsql_…`.
 * - Azure may end its version with `-azure`, and has `aad_auth_only` and variables `azure_…`.
 * - PlanetScale is Vitess: its version ends with `-Vitess`. Only its domain identifies DigitalOcean.
 * - The domains.
 * @internal
 */
export function recogniseProvider({ version, variables, host }: ServerSigns): Provider | null {
  const of = (name: string): string => variables.get(name) ?? '';
  const names = [...variables.keys()];
  if (variables.has('aurora_version')) return 'aurora';
  if (of('basedir').startsWith('/rdsdbbin/') || of('datadir').startsWith('/rdsdbdata/')) return 'rds';
  if (/-google\b/i.test(version) || of('version_comment') === '(Google)') return 'cloud-sql';
  if (names.some((name) => name.startsWith('cloudsql_'))) return 'cloud-sql';
  if (/-azure\b/i.test(version) || names.some((name) => /^(?:aad_auth_only$|azure_)/.test(name)))
    return 'azure';
  if (/-vitess\b/i.test(version)) return 'planetscale';
  return domains.find(([domain]) => host.toLowerCase().endsWith(domain))?.[1] ?? null;
}

const domains: readonly (readonly [string, Provider])[] = [
  ['.mysql.database.azure.com', 'azure'],
  ['.mariadb.database.azure.com', 'azure'],
  ['.db.ondigitalocean.com', 'digitalocean'],
  ['.psdb.cloud', 'planetscale'],
  ['.connect.psdb.cloud', 'planetscale'],
  ['.rds.amazonaws.com', 'rds'],
  ['.rds.amazonaws.com.cn', 'rds'],
];

interface Setting {
  name: string;
  value: string;
}

/** From general knowledge, except that RDS and Aurora have parameter groups: no command was run at a provider. */
interface Ways {
  title: string;
  /** Returns the provider's way of setting variables. */
  set(settings: readonly Setting[]): string;
  /** How to turn the binary log on. */
  logOn: string;
  /** How to keep the log for a week. */
  keepLog?: string;
}

const quoted = (value: string): string => (/^[\w.-]+$/.test(value) ? value : `'${value}'`);

function inGroup(command: string, group: string): Ways['set'] {
  return (settings) =>
    [
      '# In a parameter group of your own, not the default one; then reboot the instance:',
      ...settings.map(
        // Parameter groups spell this name with a dash.
        ({ name, value }) =>
          `aws rds ${command} ${group} GROUP --parameters ` +
          `"ParameterName=${name === 'gtid_mode' ? 'gtid-mode' : name},ParameterValue=${value},ApplyMethod=pending-reboot"`,
      ),
    ].join('\n');
}

export const rdsRetention = "CALL mysql.rds_set_configuration('binlog retention hours', 168);";

const ways: Readonly<Record<Provider, Ways>> = {
  rds: {
    title: 'Amazon RDS',
    set: inGroup('modify-db-parameter-group', '--db-parameter-group-name'),
    logOn:
      '# RDS writes the log while automatic backups are on:\n' +
      'aws rds modify-db-instance --db-instance-identifier INSTANCE --backup-retention-period 7 --apply-immediately',
    keepLog: rdsRetention,
  },
  aurora: {
    title: 'Amazon Aurora',
    set: inGroup('modify-db-cluster-parameter-group', '--db-cluster-parameter-group-name'),
    logOn: inGroup(
      'modify-db-cluster-parameter-group',
      '--db-cluster-parameter-group-name',
    )([{ name: 'binlog_format', value: 'ROW' }]),
    keepLog: rdsRetention,
  },
  azure: {
    title: 'Azure Database for MySQL',
    set: (settings) =>
      settings
        .map(
          ({ name, value }) =>
            `az mysql flexible-server parameter set --resource-group GROUP --server-name SERVER --name ${name} --value ${quoted(value)}`,
        )
        .join('\n'),
    logOn:
      'az mysql flexible-server parameter set --resource-group GROUP --server-name SERVER --name log_bin --value ON\n' +
      '# Where it cannot be set: a flexible server has it on, a single server must be migrated to one.',
  },
  'cloud-sql': {
    title: 'Google Cloud SQL',
    set: (settings) =>
      '# The flags given replace all others of the instance: repeat its present ones. It may restart.\n' +
      `gcloud sql instances patch INSTANCE --database-flags=${settings.map(({ name, value }) => `${name}=${value}`).join(',')}`,
    logOn: 'gcloud sql instances patch INSTANCE --backup-start-time=03:00 --enable-bin-log',
    keepLog: 'gcloud sql instances patch INSTANCE --retained-transaction-log-days=7',
  },
  digitalocean: {
    title: 'DigitalOcean',
    set: (settings) =>
      `# DigitalOcean sets variables by its API, as far as its reference lists them; ask its support for others:\n` +
      `doctl databases configuration update ID --engine mysql --config-json '${JSON.stringify(Object.fromEntries(settings.map(({ name, value }) => [name, value])))}'`,
    logOn: '# DigitalOcean writes the log by itself: ask its support why it is off.',
    keepLog: `doctl databases configuration update ID --engine mysql --config-json '{"binlog_retention_period":604800}'`,
  },
  planetscale: {
    title: 'PlanetScale',
    set: () => '# PlanetScale gives no access to its binary log: odontology-webhooks cannot read it.',
    logOn: '# PlanetScale gives no access to its binary log: odontology-webhooks cannot read it.',
  },
};

const retentionNames = new Set([
  ...['binlog_expire_logs_seconds', 'expire_logs_days', 'max_binlog_total_size', 'binlog_space_limit'],
]);

/** Rewrites a remedy for a managed server; returns it unchanged if it changes no server setting. */
export function toManagedRemedy(remedy: string, provider: Provider): string {
  if (/^Under \[mysqld\]/m.test(remedy) && /^log_bin = /m.test(remedy)) return ways[provider].logOn;
  const settings = settingsIn(remedy);
  if (settings.length === 0) return remedy;
  const { keepLog, set } = ways[provider];
  if (keepLog && settings.every(({ name }) => retentionNames.has(name))) return keepLog;
  return set(settings);
}

/** Returns the variables that a remedy sets, each with its last value. */
function settingsIn(remedy: string): Setting[] {
  const found = new Map<string, string>();
  const statements = /\bSET (?:PERSIST|GLOBAL) (\w+) = ('[^']*'|[^;\s]+)|^Add the line (\w+) = (\S+) /gm;
  for (const [, name, value, ownName, ownValue] of remedy.matchAll(statements))
    found.set((name ?? ownName)!, (value ?? ownValue)!.replaceAll("'", ''));
  return [...found].map(([name, value]) => ({ name, value }));
}

export function providerOf({ identity, variables, source }: Facts): Provider | null {
  return recogniseProvider({ version: identity.version.text, variables, host: source.url.host });
}

export const managed: Check = {
  id: 'managed-database',
  title: 'Managed database',
  run(facts) {
    const provider = providerOf(facts);
    if (provider === null) return null;
    return pass(
      `${ways[provider].title}: what must be changed is written for its tools, not as a statement.`,
    );
  },
};

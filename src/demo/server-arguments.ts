import { dirname, join } from 'node:path';
import { identityOptions } from './data-directory.ts';
import type { ServerBinary } from './server-binaries.ts';

interface ServerOptions {
  binary: ServerBinary;
  dataDir: string;
  /** Server variables as `name=value`; they override ours. */
  settings: readonly string[];
  socketPath: string;
  port: number;
  serverId: number;
}

/**
 * The arguments of a private server: small and fast, but as durable as a default server, so that test results also apply to a clinic's
 * server.
 */
export function toServerArguments({
  binary,
  dataDir,
  socketPath,
  port,
  serverId,
  settings,
}: ServerOptions): string[] {
  const common = [
    'bind-address=127.0.0.1',
    `server-id=${serverId}`,
    'log-bin=binlog',
    'binlog-row-metadata=FULL',
    'sync-binlog=1',
    'character-set-server=utf8mb4',
    'default-time-zone=+00:00',
    'max-connections=300',
    'innodb-buffer-pool-size=128M',
    // Kernel AIO contexts are limited for the whole machine, and many servers at once use them up.
    'innodb-use-native-aio=0',
  ];
  const mysql = [
    'gtid-mode=ON',
    'enforce-gtid-consistency=ON',
    'loose-mysqlx=OFF',
    // loose: unknown before 8.0.30
    'loose-innodb-redo-log-capacity=64M',
    // The tables stay (SHOW REPLICAS and similar statements read them); the instruments cost 60 MB and are not used here.
    'performance-schema-instrument=%=OFF',
    'performance-schema-digests-size=100',
    'performance-schema-error-size=0',
    'performance-schema-max-digest-length=0',
    'secure-file-priv=',
  ];
  const mariadb = ['binlog-format=ROW', 'innodb-log-file-size=32M'];
  const own = [...common, ...(binary.flavour === 'mysql' ? mysql : mariadb)];
  return [
    '--no-defaults',
    ...identityOptions(),
    ...binary.options,
    `--datadir=${dataDir}`,
    `--socket=${socketPath}`,
    // A starting MariaDB removes the temporary tables of every other server that uses the same folder.
    `--tmpdir=${dirname(socketPath)}`,
    `--pid-file=${join(dataDir, 'server.pid')}`,
    `--port=${port}`,
    ...[...own, ...settings].map((setting) => `--${setting}`),
  ];
}

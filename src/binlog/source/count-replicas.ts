import { isAtLeast } from './server-version.ts';
import type { Source, SourceIdentity } from './source.ts';

/** Counts readers with our server id; on MariaDB, if the list of replicas is refused for lack of a privilege, readers of our user. */
export async function countReplicas(
  source: Source,
  { flavour, version }: SourceIdentity,
  ours: number,
): Promise<number | null> {
  const renamed = flavour === 'mysql' && isAtLeast(version, '8.0.22');
  try {
    const rows = await source.query(renamed ? 'SHOW REPLICAS' : 'SHOW SLAVE HOSTS');
    return rows.filter((row) => Number(row['Server_Id'] ?? row['Server_id']) === ours).length;
  } catch {
    if (flavour === 'mysql') return null;
    const rows = await source.query('SHOW PROCESSLIST');
    return rows.filter((row) => String(row['Command']).startsWith('Binlog Dump')).length;
  }
}

import type { Connection, RowDataPacket } from 'mysql2/promise';
import { waitFor } from './wait-for.ts';

interface Replicating {
  flavour: 'mysql' | 'mariadb';
  /** Without it, MySQL replicates by file and offset. */
  gtid: boolean;
}

/** Makes a fresh server a read-only replica of another server, from the beginning of its binlog. */
export async function replicate(
  replica: Connection,
  { host, port }: { host: string; port: number },
  { flavour, gtid }: Replicating,
): Promise<void> {
  const account = flavour === 'mysql' ? "SOURCE_USER='root'" : "MASTER_USER='root'";
  const statements: Record<string, string> = {
    mysql: `RESET BINARY LOGS AND GTIDS; CHANGE REPLICATION SOURCE TO SOURCE_HOST='${host}', SOURCE_PORT=${port}, ${account}, ${gtid ? 'SOURCE_AUTO_POSITION=1' : "SOURCE_LOG_FILE='binlog.000001', SOURCE_LOG_POS=4"};
    START REPLICA; SET GLOBAL super_read_only = ON`,
    mariadb: `RESET MASTER; SET GLOBAL gtid_slave_pos=''; CHANGE MASTER TO MASTER_HOST='${host}', MASTER_PORT=${port}, ${account}, MASTER_USE_GTID=slave_pos;
    START SLAVE; SET GLOBAL read_only = ON`,
  };
  await replica.query(statements[flavour]!);
}

/** Waits until the replica has applied everything that it received, then makes it the source. */
export async function promote(replica: Connection, { flavour }: Pick<Replicating, 'flavour'>): Promise<void> {
  const word = flavour === 'mysql' ? 'REPLICA' : 'SLAVE';
  await replica.query(`STOP ${word} IO_THREAD`);
  await waitFor(
    async () => {
      const [rows] = await replica.query<RowDataPacket[]>(`SHOW ${word} STATUS`);
      const state = String(
        rows[0]![flavour === 'mysql' ? 'Replica_SQL_Running_State' : 'Slave_SQL_Running_State'],
      );
      return /has read all relay log/i.test(state);
    },
    { timeoutMs: 30_000, what: 'the replica to apply its relay log' },
  );
  await replica.query(`STOP ${word}; RESET ${word} ALL; SET GLOBAL read_only = OFF`);
}

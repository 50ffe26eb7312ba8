import { randomUUID } from 'node:crypto';
import type { Session } from '../connection/client.ts';

/** The identity of a store's installation: created once, kept permanently. */
export interface Installation {
  uuid: string;
  /** Replication server id, 1,000,000,000 to 4,294,967,294: above the ids that people assign by hand. */
  serverId: number;
}

const lowestServerId = 1_000_000_000;
const serverIds = 0xffff_ffff - lowestServerId;

/** Reads the installation's identity, creating it at the first call. */
export async function ensureInstallation(session: Session): Promise<Installation> {
  const uuid = randomUUID();
  await session.run('INSERT IGNORE INTO installation (id, uuid, server_id) VALUES (1, ?, ?)', [
    uuid,
    lowestServerId + (Number.parseInt(uuid.slice(0, 8), 16) % serverIds),
  ]);
  const [row] = await session.rows<{ uuid: string; server_id: number }>(
    'SELECT uuid, server_id FROM installation WHERE id = 1',
  );
  return { uuid: row!.uuid, serverId: row!.server_id };
}

import { maskUrl } from '../../lib/mask-url.ts';
import type { Store } from '../../db/connection/client.ts';
import type { Subscription } from '../types.ts';

interface Receiver {
  id: number;
  webhookId: number;
  name: string;
  url: string;
}

/**
 * The webhooks, each with its present name and URL as a row of `receivers`, to which attempts refer. A new row, with a masked URL, is written before
 * anything is sent to it, so that the receiver of an attempt is known even if its process died.
 */
export async function withReceivers(
  store: Store,
  webhooks: readonly Subscription[],
): Promise<Subscription[]> {
  const latest = await readLatest(store);
  const isNew = ({ id, name, url }: Subscription): boolean => {
    const known = latest.get(id);
    return known?.name !== name || known.url !== maskUrl(url);
  };
  const added = webhooks.filter(isNew);
  for (const { id, name, url } of added) {
    await store.run(
      'INSERT INTO receivers (webhook_id, name, url, since) VALUES (?, ?, ?, UTC_TIMESTAMP(3))',
      [id, name, maskUrl(url)],
    );
  }
  const now = added.length > 0 ? await readLatest(store) : latest;
  return webhooks.map((webhook) => {
    const receiver = now.get(webhook.id);
    return receiver?.url === maskUrl(webhook.url) && receiver.name === webhook.name
      ? { ...webhook, receiver: receiver.id }
      : webhook;
  });
}

async function readLatest(store: Store): Promise<Map<number, Receiver>> {
  const rows = await store.rows<Receiver>(
    `SELECT r.id, r.webhook_id AS webhookId, r.name, r.url FROM receivers r
     WHERE r.id IN (SELECT MAX(id) FROM receivers GROUP BY webhook_id)`,
  );
  return new Map(rows.map((row) => [row.webhookId, row]));
}

import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { readMarkedActs, type ActRow } from '../../db/proof/marked-acts.ts';
import { openMarker } from '../../db/proof/marks.ts';
import { engine, writeAct } from './record-act.ts';

/** Acts that explain rows which outlive them: the settings of a webhook, keys that stay destroyed, a replay, how payloads are kept. */
const lasting = [
  ...['webhook.%', 'replay.%', 'patient.erase', 'store.adopt', 'store.adopt-deliveries', 'payloads.%'],
  'retention.payloads',
];

/**
 * Before retention drops acts, writes the acts that still explain something again, with the id and the time of the original. Of several
 * acts with the same meaning for one target, only the last counts.
 */
export async function keepActs(tx: Session, cipher: Cipher, dropped: readonly number[]): Promise<void> {
  if (dropped.length === 0) return;
  const marker = await openMarker(tx, cipher);
  const going = new Set(dropped);
  for (const action of lasting) {
    const last = new Map<string, ActRow>();
    for (const act of await readMarkedActs(tx, marker, { action })) {
      const key = keyOf(act);
      if (key !== undefined) last.set(key, act);
    }
    for (const { id, at, actor, action: kept, target, details } of last.values()) {
      if (!going.has(id)) continue;
      await writeAct(tx, marker, {
        actor: engine,
        action: kept,
        ...(target !== null && { target }),
        details: { ...details, kept: details?.['kept'] ?? { act: id, at, actor } },
      });
    }
  }
}

/** Identifies what an act explains; undefined if it explains nothing that lasts. */
function keyOf({ id, action, target, details }: ActRow): string | undefined {
  if (action.startsWith('webhook.'))
    return details?.['state'] === undefined ? undefined : `webhook ${target}`;
  if (action === 'replay.create' || action === 'patient.erase') return `${id}`;
  return `${action} ${target ?? ''}`;
}

import type { ChainMemory } from '../../audit/seal/chain.ts';
import { headJson, type Head } from '../../audit/seal/head.ts';
import { maximumEntries, sealOnce, type Seal } from '../../audit/seal/seal.ts';
import type { Installation } from '../../db/schema/installation.ts';
import { formatTimestamp } from '../../event/body.ts';
import { createSystemEvent } from '../../event/system-events.ts';
import type { DomainEvent } from '../../event/types.ts';
import type { Log } from '../../lib/log.ts';
import { createLoop, type Background } from '../../lib/loop/loop.ts';
import type { FailureLog } from '../../lib/loop/failure-log.ts';
import { appendSystemEvent } from '../../outbox/append/append-system-event.ts';
import type { Router } from '../../outbox/append/fan-out.ts';
import { fromSqlDatetime } from '../../outbox/sql-datetime.ts';
import type { AuditWatch } from './audit-watch.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

export interface SealingOptions {
  vault: EncryptedStore;
  installation: Installation;
  intervalMs: number;
  log: Log;
  outages: FailureLog;
  audit: Pick<AuditWatch, 'memory' | 'guard'>;
  route(): Router;
  /** Called when something became due. */
  onDue(): void;
}

/**
 * Seals the new rows of the log at every interval, and again at once while there is more. Only one of several processes seals. Webhooks
 * that name `audit.sealed` get the head as an event of the same transaction.
 */
export function createSealing(options: SealingOptions): Background {
  const { vault, installation, intervalMs, log, outages, audit, route, onDue } = options;
  let logged = false;
  return createLoop({
    async step() {
      const { seal, head, told } = await sealAndTell(vault, installation, {
        route: route(),
        memory: audit.memory,
      });
      if (head && !logged) {
        log.info({ seal: head.number, fingerprint: head.fingerprint }, firstSealed);
        logged = true;
      }
      if (told > 0) onDue();
      return seal && seal.entries >= maximumEntries ? 0 : intervalMs;
    },
    ...audit.guard(outages.part('the log could not be sealed, trying again')),
  });
}

interface Telling {
  route: Router;
  memory?: ChainMemory;
}

/**
 * Seals the new rows, as `sealOnce` does, and announces the seal to the webhooks that name the event; `told`: number of deliveries that
 * this created.
 */
export async function sealAndTell(
  vault: EncryptedStore,
  installation: Installation,
  { route, memory }: Telling,
): Promise<{ seal: Seal | null; head: Head | undefined; told: number }> {
  let sealed: Head | undefined;
  let told = 0;
  const seal = await sealOnce(vault, {
    ...(memory && { memory }),
    async onSealed(tx, head) {
      sealed = head;
      const event = sealedEvent(installation.uuid, head);
      told =
        route(event).length === 0 ? 0 : await appendSystemEvent(tx, event, { route, cipher: vault.cipher });
    },
  });
  return { seal, head: sealed, told };
}

const firstSealed = 'the log is sealed with this key: note it elsewhere';

/** All these events have one entity, so that a receiver gets the heads in order. */
function sealedEvent(installation: string, head: Head): DomainEvent {
  const occurredAtMs = fromSqlDatetime(head.sealedAt);
  return createSystemEvent({
    type: 'audit.sealed',
    installation,
    occasion: [String(head.number), head.hash],
    occurredAtMs,
    entity: { table: 'seals', key: 'head' },
    data: { ...headJson(head), timestamp: formatTimestamp(occurredAtMs) },
  });
}

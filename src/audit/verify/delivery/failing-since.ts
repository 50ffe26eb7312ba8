import type { Session } from '../../../db/connection/client.ts';
import { readMarkedActs } from '../../../db/proof/marked-acts.ts';
import type { Marker } from '../../../db/proof/marks.ts';
import { fromSqlDatetime } from '../../../outbox/sql-datetime.ts';
import { fail } from '../flaw.ts';

/** What a webhook's row and its attempts say about its failures. */
interface Health {
  /** failing_since. */
  since: string | null;
  isExplained: boolean;
  /** When the last attempt was delivered, and when the last failed before the row was read; SQL datetime texts, which sort by time. */
  deliveredAt: string;
  failedAt: string;
}

interface Outcome {
  outcome: string;
  recordedAt: string | null;
}

/** Longer than the time by which one settlement can overtake another: their statements end after 60 s each. */
const overtakingMs = 5 * 60_000;
const never = '0000-01-01 00:00:00.000';

/** Acts that leave failing_since as it is. */
const resetsNothing = new Set([
  ...[
    'webhook.create',
    'webhook.pause',
    'webhook.resume',
    'webhook.disable',
    'webhook.missed',
    'webhook.put-back',
  ],
]);

interface Reading {
  session: Session;
  marker: Marker;
  /** Attempts from before this time may be gone. */
  knownFrom: string | null;
}

/**
 * Compares `failing_since` of webhooks with their attempts. A value must be the time at which a failed attempt was recorded, and no
 * delivery may have succeeded since. If it is null, the last attempt was delivered, or a person has enabled or edited the webhook since the
 * failure.
 */
export class FailingSince {
  readonly #reading: Reading;
  readonly #webhooks: ReadonlyMap<number, Health>;
  readonly #readAt: string;

  private constructor(reading: Reading, webhooks: ReadonlyMap<number, Health>, readAt: string) {
    this.#reading = reading;
    this.#webhooks = webhooks;
    this.#readAt = readAt;
  }

  /** Reads the rows of the webhooks, before their attempts are read. */
  static async read(reading: Reading): Promise<FailingSince> {
    const { session, knownFrom } = reading;
    const rows = await session.rows<{ id: number; since: string | null; now: string }>(
      'SELECT id, failing_since AS since, UTC_TIMESTAMP(3) AS now FROM webhooks WHERE deleted_at IS NULL',
    );
    const webhooks = rows.map(({ id, since }): [number, Health] => [
      id,
      {
        since,
        isExplained: knownFrom !== null && since !== null && since <= knownFrom,
        deliveredAt: knownFrom ?? never,
        failedAt: never,
      },
    ]);
    return new FailingSince(reading, new Map(webhooks), rows[0]?.now ?? never);
  }

  /** Adds an attempt. */
  see(webhook: number, { outcome, recordedAt }: Outcome): void {
    const health = this.#webhooks.get(webhook);
    if (!health || recordedAt === null) return;
    if (outcome === 'delivered') {
      if (recordedAt > health.deliveredAt) health.deliveredAt = recordedAt;
      if (health.since !== null && fromSqlDatetime(recordedAt) > fromSqlDatetime(health.since) + overtakingMs)
        failWebhook(webhook, 'it is set, and an attempt was delivered since');
    } else if (outcome !== 'lost') {
      if (recordedAt === health.since) health.isExplained = true;
      // An attempt recorded after the row was read is not reflected in the row.
      if (recordedAt > health.failedAt && recordedAt < this.#readAt) health.failedAt = recordedAt;
    }
  }

  /** Call after all attempts were added. */
  async end(): Promise<void> {
    for (const [id, { since, isExplained, failedAt, deliveredAt }] of this.#webhooks) {
      if (since !== null && !isExplained)
        failWebhook(id, 'it is set, and no attempt that failed was recorded then');
      if (since !== null || failedAt === never) continue;
      const failedMs = fromSqlDatetime(failedAt);
      if (deliveredAt !== never && failedMs <= fromSqlDatetime(deliveredAt) + overtakingMs) continue;
      if (!(await this.#wasReset(id, failedMs)))
        failWebhook(id, 'it is NULL, and attempts have failed since one was delivered');
    }
  }

  /** Whether an act of this program reset it: changes by SQL reset nothing. */
  async #wasReset(webhook: number, failedMs: number): Promise<boolean> {
    const { session, marker } = this.#reading;
    const acts = await readMarkedActs(session, marker, { action: 'webhook.%', targets: [String(webhook)] });
    return acts.some(
      ({ at, role, action }) =>
        role !== 'sql' && !resetsNothing.has(action) && fromSqlDatetime(at) > failedMs - overtakingMs,
    );
  }
}

function failWebhook(webhook: number, why: string): never {
  return fail('edited', {
    message: `webhook ${webhook}: failing_since was edited: ${why}`,
    fields: ['failing_since'],
  });
}

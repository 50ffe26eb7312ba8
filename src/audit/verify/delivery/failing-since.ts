import type { Session } from '../../../db/connection/client.ts';
import { readMarkedActs } from '../../../db/proof/marked-acts.ts';
import type { Marker } from '../../../db/proof/marks.ts';
import { fromSqlDatetime } from '../../../outbox/sql-datetime.ts';
import { fail } from '../flaw.ts';

/** A webhook as its row says, and what its attempts say. */
interface Health {
  /** failing_since. */
  since: string | null;
  isExplained: boolean;
  /** When the last attempt was delivered, and when the last failed before the row was read; as the store writes moments, which sort as texts. */
  deliveredAt: string;
  failedAt: string;
}

interface Outcome {
  outcome: string;
  recordedAt: string | null;
}

/** Longer than two settlements, whose statements end after 60 s each, can overtake each other. */
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
  /** Of what was before, the attempts may be gone. */
  knownFrom: string | null;
}

/**
 * Compares since when webhooks are failing with their attempts. A moment must be when a failed attempt was recorded, and a delivery since would
 * have ended it. Without a moment, the last attempt was delivered, or a person has enabled or edited the webhook since it failed.
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

  /** Reads what the webhooks say, before their attempts are read. */
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
      // One that is recorded after the row was read is not in the row.
      if (recordedAt > health.failedAt && recordedAt < this.#readAt) health.failedAt = recordedAt;
    }
  }

  /** Once all attempts were seen. */
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

  /** By an act of this program: what SQL does to a webhook resets nothing. */
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

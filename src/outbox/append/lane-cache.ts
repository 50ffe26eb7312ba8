import type { Session } from '../../db/connection/client.ts';
import { monotonicMs } from '../../lib/clock.ts';
import type { Counters } from '../checkpoint.ts';
import { lanesInUse } from '../queue/queue-lanes.ts';

/** Maximum number of cached lanes; the store is queried for the others. */
const maximumLanes = 100_000;
const loadEveryMs = 5_000;

/**
 * Which lanes may have a delivery in the queue, so that an append of entities without recent events needs no query: that
 * query would delay every webhook. Only the capturing process puts rows into the queue
 * without moving the counters, so every other new row moves the counters. The cache never lacks a lane with deliveries; a query finds lanes that became
 * empty.
 */
export class LaneCache {
  readonly #session: Session;
  #lanes: Set<number> | undefined;
  /** The counters after the last plan: different values mean that the plan failed, or that another process has inserted rows into the queue. */
  #expected: Counters | undefined;
  #loadAgainAt = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Rows were put into the queue without `remember`. */
  forget(): void {
    this.#lanes = undefined;
  }

  /** The lanes among these that have a delivery in the queue, for a plan that starts from these counters. */
  async inUse(lanes: ReadonlySet<number>, counters: Counters): Promise<Set<number>> {
    if (!this.#expects(counters)) this.forget();
    await this.#load();
    const known = this.#lanes;
    if (!known) return lanesInUse(this.#session, lanes);
    const asked = lanes.intersection(known);
    return asked.size === 0 ? asked : lanesInUse(this.#session, asked);
  }

  /** Records a plan before it is written, whether the write succeeds or not. */
  remember(lanes: ReadonlySet<number>, after: Counters): void {
    this.#expected = after;
    for (const lane of lanes) this.#lanes?.add(lane);
    if (this.#lanes && this.#lanes.size > 2 * maximumLanes) this.forget();
  }

  #expects({ nextEventSeq, nextDeliveryId }: Counters): boolean {
    return this.#expected?.nextEventSeq === nextEventSeq && this.#expected.nextDeliveryId === nextDeliveryId;
  }

  async #load(): Promise<void> {
    if (this.#lanes || monotonicMs() < this.#loadAgainAt) return;
    this.#loadAgainAt = monotonicMs() + loadEveryMs;
    const rows = await this.#session.rows<{ lane: number }>(
      'SELECT lane FROM queue FORCE INDEX (queue_lane) WHERE lane IS NOT NULL LIMIT ?',
      [maximumLanes + 1],
    );
    if (rows.length <= maximumLanes) this.#lanes = new Set(rows.map(({ lane }) => lane));
  }
}

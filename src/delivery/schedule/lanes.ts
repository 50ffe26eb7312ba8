import type { ClaimedDelivery } from '../../outbox/types.ts';

/** A delivery in memory, with its time of arrival, by the monotonic clock. */
interface Queued {
  delivery: ClaimedDelivery;
  sinceMs: number;
}

/**
 * The order of one webhook's deliveries: deliveries of one lane (ordering key) are sent one after the other, in the order of arrival; lanes do not wait
 * for each other, and deliveries without a lane do not wait at all. The store hands out a delivery only when the previous delivery of its lane has ended
 * or was given to this process earlier: so no coordination between processes is needed here.
 *
 *   put → ready ──next──▶ underway ──finish──▶ gone; the lane's next is ready
 *           │                └──────giveBack──▶ gone, with all behind it
 *           └─ behind another of its lane: waits
 */
export class Lanes {
  #ready: Queued[] = [];
  /** By lane, the deliveries behind the one that is ready or in flight. An empty list is a lane whose head has no follower. */
  readonly #behind = new Map<string, Queued[]>();
  #size = 0;
  #characters = 0;

  /** Number of deliveries that are not in flight. */
  get size(): number {
    return this.#size;
  }

  /** Characters of the bodies that are not in flight. */
  get characters(): number {
    return this.#characters;
  }

  get readyCount(): number {
    return this.#ready.length;
  }

  /** Adds a delivery. */
  put(delivery: ClaimedDelivery, nowMs: number): void {
    const queued = { delivery, sinceMs: nowMs };
    const behind = this.#behind.get(delivery.lane);
    if (behind !== undefined) {
      behind.push(queued);
    } else {
      if (delivery.lane !== '') this.#behind.set(delivery.lane, []);
      this.#ready.push(queued);
    }
    this.#count(queued, 1);
  }

  /** Removes the next delivery to send; it is now in flight. */
  next(): ClaimedDelivery | undefined {
    const queued = this.#ready.shift();
    if (queued === undefined) return undefined;
    this.#count(queued, -1);
    return queued.delivery;
  }

  /** Ends a delivery for good: the next of its lane may go. */
  finish({ lane }: ClaimedDelivery): void {
    const next = this.#behind.get(lane)?.shift();
    if (next === undefined) this.#behind.delete(lane);
    else this.#ready.push(next);
  }

  /** Ends a delivery in flight that will be retried later. Returns the deliveries behind it, which must be released too. */
  giveBack({ lane }: ClaimedDelivery): ClaimedDelivery[] {
    const behind = this.#behind.get(lane) ?? [];
    this.#behind.delete(lane);
    for (const queued of behind) this.#count(queued, -1);
    return behind.map((queued) => queued.delivery);
  }

  /** Removes all deliveries that arrived before `beforeMs`, and everything behind them. */
  takeOlder(beforeMs: number): ClaimedDelivery[] {
    const old = this.#ready.filter((queued) => queued.sinceMs < beforeMs);
    if (old.length > 0) this.#ready = this.#ready.filter((queued) => queued.sinceMs >= beforeMs);
    const taken = old.flatMap((queued) => {
      this.#count(queued, -1);
      return [queued.delivery, ...this.giveBack(queued.delivery)];
    });
    for (const [lane, [first]] of this.#behind) {
      if (first === undefined || first.sinceMs >= beforeMs) continue;
      taken.push(...this.giveBack(first.delivery));
      // The head of this lane is in flight, or ready and recent.
      this.#behind.set(lane, []);
    }
    return taken;
  }

  #count({ delivery }: Queued, sign: 1 | -1): void {
    this.#size += sign;
    this.#characters += sign * delivery.body.length;
  }
}

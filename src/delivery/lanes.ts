import type { ClaimedDelivery } from '../outbox/types.ts';

/** A delivery in memory, with the time it came in, by the monotonic clock. */
export interface Queued {
  delivery: ClaimedDelivery;
  sinceMs: number;
}

/** How long a lane stays shut after its head went back to the store: longer than any append takes that did not know yet. */
const shutMs = 10_000;

/**
 * The order of one webhook's deliveries: those of one lane go one after the other, in the order they came; lanes do not wait
 * for each other, and deliveries without a lane wait for nobody.
 *
 *   put → ready ──next──▶ underway ──finish──▶ gone; the lane's next is ready
 *           │                └──────giveBack──▶ gone, with all behind it; the lane is shut for later ones
 *           └─ behind another of its lane: waits
 */
export class Lanes {
  #ready: Queued[] = [];
  /** Those behind the one that is ready or underway, by lane. An empty list is a lane whose head has no follower. */
  readonly #behind = new Map<string, Queued[]>();
  /** The delivery that a shut lane waits for, and until when. */
  readonly #shut = new Map<string, { headId: number; untilMs: number }>();
  #size = 0;
  #characters = 0;

  /** How many are here and not underway. */
  get size(): number {
    return this.#size;
  }

  /** Characters of the bodies that are here and not underway. */
  get characters(): number {
    return this.#characters;
  }

  get readyCount(): number {
    return this.#ready.length;
  }

  /**
   * Takes a delivery in. Returns false when it must go back: an earlier one of its lane went back to the store, and
   * whoever handed this one out did not know yet.
   */
  put(delivery: ClaimedDelivery, nowMs: number): boolean {
    const { lane } = delivery;
    const queued = { delivery, sinceMs: nowMs };
    if (lane === '') {
      this.#ready.push(queued);
    } else {
      const shut = this.#shut.get(lane);
      if (shut !== undefined && nowMs < shut.untilMs && delivery.id > shut.headId) return false;
      const behind = this.#behind.get(lane);
      if (behind === undefined) {
        this.#behind.set(lane, []);
        this.#ready.push(queued);
      } else {
        behind.push(queued);
      }
    }
    this.#count(queued, 1);
    return true;
  }

  /** The next one to send, now underway. */
  next(): ClaimedDelivery | undefined {
    const queued = this.#ready.shift();
    if (queued === undefined) return undefined;
    this.#count(queued, -1);
    return queued.delivery;
  }

  /** Ends one that was underway for good: its lane goes on. */
  finish({ id, lane }: ClaimedDelivery): void {
    if (lane === '') return;
    if ((this.#shut.get(lane)?.headId ?? Infinity) <= id) this.#shut.delete(lane);
    const next = this.#behind.get(lane)?.shift();
    if (next === undefined) this.#behind.delete(lane);
    else this.#ready.push(next);
  }

  /** Ends one that was underway and will be tried again later. Returns those behind it, which must go back too. */
  giveBack({ id, lane }: ClaimedDelivery, nowMs: number): ClaimedDelivery[] {
    if (lane === '') return [];
    this.#shutLane(lane, id, nowMs);
    return this.#takeBehind(lane);
  }

  /** Takes out all that came in before `beforeMs`, with everything that stands behind them. */
  takeOlder(beforeMs: number, nowMs: number): ClaimedDelivery[] {
    const old = this.#ready.filter((queued) => queued.sinceMs < beforeMs);
    if (old.length > 0) this.#ready = this.#ready.filter((queued) => queued.sinceMs >= beforeMs);
    const taken = old.flatMap((queued) => {
      this.#count(queued, -1);
      return [queued.delivery, ...this.giveBack(queued.delivery, nowMs)];
    });
    for (const [lane, behind] of this.#behind) {
      if (behind[0] === undefined || behind[0].sinceMs >= beforeMs) continue;
      const headId = behind[0].delivery.id;
      taken.push(...this.#takeBehind(lane));
      // Its head is still underway.
      this.#behind.set(lane, []);
      this.#shutLane(lane, headId, nowMs);
    }
    return taken;
  }

  #takeBehind(lane: string): ClaimedDelivery[] {
    const behind = this.#behind.get(lane) ?? [];
    this.#behind.delete(lane);
    for (const queued of behind) this.#count(queued, -1);
    return behind.map((queued) => queued.delivery);
  }

  #shutLane(lane: string, headId: number, nowMs: number): void {
    // Deleted first, so that the map stays in order of time.
    this.#shut.delete(lane);
    this.#shut.set(lane, { headId, untilMs: nowMs + shutMs });
    this.#forgetShut(nowMs);
  }

  #forgetShut(nowMs: number): void {
    for (const [lane, { untilMs }] of this.#shut) {
      // In order of shutting: the first one that still holds ends it.
      if (untilMs > nowMs) return;
      this.#shut.delete(lane);
    }
  }

  #count({ delivery }: Queued, sign: 1 | -1): void {
    this.#size += sign;
    this.#characters += sign * delivery.body.length;
  }
}

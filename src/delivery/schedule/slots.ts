import type { Endpoint } from './endpoint.ts';
import { type Pace, TakenSlots } from './taken-slots.ts';

const paces = ['quick', 'slow', 'failing'] as const;

/**
 * Decides which endpoint uses one of the `concurrency` slots next. Endpoints with work wait in one ring per pace and take turns. Failing endpoints together hold at most a quarter of the slots, failing and slow ones three quarters. So a quarter is
 * always left to fast endpoints, and a healthy endpoint gets a slot at once.
 */
export class Slots {
  /** The slots in use, shared with every endpoint. */
  readonly taken = new TakenSlots();
  readonly #concurrency: number;
  readonly #reserve: number;
  readonly #rings: Record<Pace, Endpoint[]> = { quick: [], slow: [], failing: [] };
  readonly #enlisted = new Set<Endpoint>();
  #turn = 0;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
    this.#reserve = Math.floor(concurrency / 4);
  }

  /** The maximum number of slots for one of `endpoints` endpoints: all when it is the only one, otherwise a quarter is left to the others. */
  cap(endpoints: number): number {
    return endpoints <= 1 ? this.#concurrency : Math.max(1, this.#concurrency - this.#reserve);
  }

  /** Puts an endpoint with work at the end of its ring, once. */
  enlist(endpoint: Endpoint): void {
    if (this.#enlisted.has(endpoint)) return;
    this.#enlisted.add(endpoint);
    this.#rings[endpoint.pace].push(endpoint);
  }

  /** Removes the next endpoint from the rings that may use a slot; undefined when no endpoint may. */
  next(): Endpoint | undefined {
    for (let tried = 0; tried < paces.length; tried += 1) {
      const pace = paces[this.#turn]!;
      this.#turn = (this.#turn + 1) % paces.length;
      const endpoint = this.#mayGo(pace) ? this.#rings[pace].shift() : undefined;
      if (endpoint === undefined) continue;
      this.#enlisted.delete(endpoint);
      if (endpoint.pace === pace) return endpoint;
      // Its pace changed while it waited: it moves to the end of the right ring, and all rings are checked again.
      this.enlist(endpoint);
      tried = -1;
    }
    return undefined;
  }

  #mayGo(pace: Pace): boolean {
    if (this.taken.total >= this.#concurrency) return false;
    const failing = this.taken.of('failing');
    // At least one for each, because with a small concurrency they would never be retried.
    if (pace === 'failing' && failing >= Math.max(1, this.#reserve)) return false;
    return (
      pace === 'quick' || this.taken.of('slow') + failing < Math.max(1, this.#concurrency - this.#reserve)
    );
  }
}

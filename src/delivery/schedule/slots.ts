import type { Endpoint, Pace } from './endpoint.ts';

const paces = ['quick', 'slow', 'failing'] as const;

/**
 * Decides which endpoint uses one of the `concurrency` slots next. Endpoints with work are in the ring of their pace and take
 * turns. Failing endpoints together hold at most a quarter of the slots, failing and slow ones three quarters. So a quarter is
 * always left to fast endpoints, and a healthy endpoint gets a slot at once.
 */
export class Slots {
  readonly #concurrency: number;
  readonly #reserve: number;
  readonly #rings: Record<Pace, Endpoint[]> = { quick: [], slow: [], failing: [] };
  #turn = 0;
  readonly #taken: Record<Pace, number> = { quick: 0, slow: 0, failing: 0 };

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
    this.#reserve = Math.floor(concurrency / 4);
  }

  /** Requests underway. */
  get taken(): number {
    return this.#taken.quick + this.#taken.slow + this.#taken.failing;
  }

  /** The most that one endpoint of `endpoints` may hold: all when it is alone, else a quarter is left to the others. */
  cap(endpoints: number): number {
    return endpoints <= 1 ? this.#concurrency : Math.max(1, this.#concurrency - this.#reserve);
  }

  /** Puts an endpoint with work at the end of its ring, once. */
  enlist(endpoint: Endpoint): void {
    if (endpoint.enlisted) return;
    endpoint.enlisted = true;
    this.#rings[endpoint.pace].push(endpoint);
  }

  /** Takes out the endpoint whose turn it is, of the rings that may use a slot in turn; undefined when no endpoint may. */
  next(): Endpoint | undefined {
    for (let tried = 0; tried < paces.length; tried += 1) {
      const pace = paces[this.#turn]!;
      this.#turn = (this.#turn + 1) % paces.length;
      const endpoint = this.#mayGo(pace) ? this.#rings[pace].shift() : undefined;
      if (endpoint === undefined) continue;
      endpoint.enlisted = false;
      if (endpoint.pace === pace) return endpoint;
      // It changed its pace while it stood here: it goes to the end of the right ring, and all are looked at again.
      this.enlist(endpoint);
      tried = -1;
    }
    return undefined;
  }

  /** Does something that changes an endpoint's pace or its requests underway, and keeps the counts right. */
  track<T>(endpoint: Endpoint, act: () => T): T {
    this.#taken[endpoint.pace] -= endpoint.inFlight;
    const result = act();
    this.#taken[endpoint.pace] += endpoint.inFlight;
    return result;
  }

  #mayGo(pace: Pace): boolean {
    if (this.taken >= this.#concurrency) return false;
    const { slow, failing } = this.#taken;
    // One at least for each, or with a small concurrency they would never be tried again.
    if (pace === 'failing' && failing >= Math.max(1, this.#reserve)) return false;
    return pace === 'quick' || slow + failing < Math.max(1, this.#concurrency - this.#reserve);
  }
}

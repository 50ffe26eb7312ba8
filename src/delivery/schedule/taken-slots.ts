/**
 * How an endpoint performs, which decides the slots that it may share: `quick` has answered, within a second on average;
 * `slow` has not answered yet, or takes longer; `failing` failed last.
 */
export type Pace = 'quick' | 'slow' | 'failing';

/** The requests in flight of one endpoint, counted under its pace. */
export interface Holding {
  pace: Pace;
  inFlight: number;
}

/** The requests in flight of all endpoints, by pace. Only `Endpoint` writes it, with each change of its state. */
export class TakenSlots {
  readonly #byPace: Record<Pace, number> = { quick: 0, slow: 0, failing: 0 };

  get total(): number {
    return this.#byPace.quick + this.#byPace.slow + this.#byPace.failing;
  }

  of(pace: Pace): number {
    return this.#byPace[pace];
  }

  /** Replaces the slots of one endpoint before a change with those after it. */
  replace(before: Holding, after: Holding): void {
    this.#byPace[before.pace] -= before.inFlight;
    this.#byPace[after.pace] += after.inFlight;
  }
}

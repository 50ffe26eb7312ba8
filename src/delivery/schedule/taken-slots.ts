/**
 * How an endpoint performs, which decides the slots that it may share: `quick` has answered, within a second on average;
 * `slow` has not answered yet, or takes longer; `failing` failed last.
 */
export type Pace = 'quick' | 'slow' | 'failing';

/** The requests of one endpoint that are underway, counted under its pace. */
export interface Holding {
  pace: Pace;
  inFlight: number;
}

/** The requests underway of all endpoints together, by pace. `Endpoint` alone writes it: each change of its state enters here. */
export class TakenSlots {
  readonly #byPace: Record<Pace, number> = { quick: 0, slow: 0, failing: 0 };

  get total(): number {
    return this.#byPace.quick + this.#byPace.slow + this.#byPace.failing;
  }

  of(pace: Pace): number {
    return this.#byPace[pace];
  }

  /** Replaces what one endpoint held before a change by what it holds after it. */
  replace(before: Holding, after: Holding): void {
    this.#byPace[before.pace] -= before.inFlight;
    this.#byPace[after.pace] += after.inFlight;
  }
}

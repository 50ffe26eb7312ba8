import { backoffMs } from '../../lib/loop/backoff.ts';
import { monotonicMs, sleep } from '../../lib/clock.ts';
import type { FailureReporter } from '../../lib/loop/failure-log.ts';
import type { ClaimedDelivery } from '../../outbox/types.ts';
import type { Settlement, OutcomeStore } from '../types.ts';

export interface SettlerOptions {
  verbs: OutcomeStore;
  /** Called after every batch, with the recorded results and whether they made deliveries due. */
  onSettled(written: readonly ClaimedDelivery[], due: boolean): void;
  /** Called when the store refuses or does not answer; the batch is retried. */
  reports: FailureReporter;
}

const maximumBatch = 1_000;
/**
 * Minimum time between the starts of two batches: outcomes that arrive faster share a commit. The time grows with the load, by this much for each outcome
 * of the previous batch.
 */
const pace = { leastMs: 50, mostMs: 100, eachMs: 1 };
const backoff = { firstMs: 100, maxMs: 5_000 };

/**
 * Writes outcomes to the store, one batch at a time: a single result is written at once, and results that arrive during a write form the next batch, so
 * that a burst shares its commits. Nothing is dropped: a failed batch is retried until it succeeds or the process ends.
 */
export class Settler {
  readonly #options: SettlerOptions;
  #settlements: Settlement[] = [];
  #releases: ClaimedDelivery[] = [];
  #disables: number[] = [];
  #writing = 0;
  /** When the last batch began, by the monotonic clock. */
  #begunMs = -Infinity;
  #paceMs = pace.leastMs;
  #running: Promise<void> | undefined;
  readonly #giveUp = new AbortController();

  constructor(options: SettlerOptions) {
    this.#options = options;
  }

  /** How many results and releases are not yet in the store. */
  get backlog(): number {
    return this.#settlements.length + this.#releases.length + this.#writing;
  }

  add(settlement: Settlement): void {
    this.#settlements.push(settlement);
    this.#start();
  }

  release(deliveries: readonly ClaimedDelivery[]): void {
    if (deliveries.length === 0) return;
    this.#releases.push(...deliveries);
    this.#start();
  }

  disable(webhookId: number): void {
    this.#disables.push(webhookId);
    this.#start();
  }

  /** Resolves when everything is in the store, or after `boundMs`: then the remaining deliveries stay claimed until their claims expire. */
  async flush(boundMs: number): Promise<void> {
    const bound = new AbortController();
    const expired = sleep(boundMs, bound.signal);
    const deadlineMs = monotonicMs() + boundMs;
    while (this.#running !== undefined && monotonicMs() < deadlineMs)
      await Promise.race([this.#running, expired]);
    bound.abort();
    if (this.#running !== undefined) this.#giveUp.abort();
  }

  #start(): void {
    // In a microtask, so that all that ends in one turn of the event loop shares the first batch.
    this.#running ??= Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#running = undefined;
        if (this.#hasWork && !this.#giveUp.signal.aborted) this.#start();
      });
  }

  get #hasWork(): boolean {
    return this.#settlements.length + this.#releases.length + this.#disables.length > 0;
  }

  async #run(): Promise<void> {
    while (this.#hasWork) {
      await this.#keepPace();
      const settlements = this.#settlements.splice(0, maximumBatch);
      const releases = this.#releases.splice(0, maximumBatch);
      const disables = this.#disables.splice(0);
      this.#writing = settlements.length + releases.length;
      this.#paceMs = Math.min(pace.mostMs, Math.max(pace.leastMs, this.#writing * pace.eachMs));
      let due = false;
      // Outcomes are settled first: a release must find the previous delivery of its lane already marked for its retry.
      if (settlements.length > 0) due = (await this.#persist((verbs) => verbs.settle(settlements))) ?? false;
      due ||= settlements.some(({ next }) => next.kind === 'retry' && next.delayMs === 0);
      if (releases.length > 0) await this.#persist((verbs) => verbs.release(releases));
      for (const webhookId of disables) {
        await this.#persist((verbs) => verbs.disable(webhookId));
      }
      this.#writing = 0;
      if (this.#giveUp.signal.aborted) return;
      this.#options.onSettled([...settlements.map(({ delivery }) => delivery), ...releases], due);
    }
  }

  async #keepPace(): Promise<void> {
    const waitMs = this.backlog < maximumBatch ? this.#paceMs - (monotonicMs() - this.#begunMs) : 0;
    if (waitMs > 0) await sleep(waitMs);
    this.#begunMs = monotonicMs();
  }

  /** Retries an operation until it succeeds; undefined when given up. */
  async #persist<T>(write: (verbs: OutcomeStore) => Promise<T>): Promise<T | undefined> {
    const { signal } = this.#giveUp;
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        const written = await write(this.#options.verbs);
        this.#options.reports.onRecovered();
        return written;
      } catch (error) {
        this.#options.reports.onError(error);
        await sleep(backoffMs(failures, backoff), signal);
      }
    }
    return undefined;
  }
}

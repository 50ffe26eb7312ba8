import { monotonicMs } from '../clock.ts';
import { messageOf } from '../errors.ts';
import type { Log } from '../log.ts';

/** What a part that is tried again and again says of how it goes. */
export interface Reports {
  onError(error: unknown): void;
  /** It works; called after every success, or after the first success that follows a failure. */
  onRecovered(): void;
}

interface Outage {
  sinceMs: number;
  tellAgainMs: number;
  intervalMs: number;
  /** The parts that failed for this reason and have not worked since. */
  parts: Set<Reports>;
}

const firstIntervalMs = 60_000;
const maximumIntervalMs = 3_600_000;

/**
 * Logs lasting failures: when one begins, at growing intervals while it lasts, and when it ends. Parts that fail for the
 * same reason, as all of them do when the store is away, are one outage.
 */
export class Outages {
  readonly #log: Log;
  readonly #nowMs: () => number;
  /** By what the error says. */
  readonly #outages = new Map<string, Outage>();

  constructor(log: Log, nowMs: () => number = monotonicMs) {
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** The reports of one part; `message` says what it could not do. */
  part(message: string): Reports {
    const part: Reports = {
      onError: (error) => this.#failed(part, messageOf(error), message),
      onRecovered: () => this.#recovered(part),
    };
    return part;
  }

  #failed(part: Reports, error: string, message: string): void {
    const nowMs = this.#nowMs();
    const known = this.#outages.get(error);
    if (!known) {
      const outage = { sinceMs: nowMs, tellAgainMs: nowMs + firstIntervalMs, intervalMs: firstIntervalMs };
      this.#outages.set(error, { ...outage, parts: new Set([part]) });
      this.#log.warn({ error }, message);
      return;
    }
    known.parts.add(part);
    if (nowMs < known.tellAgainMs) return;
    known.intervalMs = Math.min(maximumIntervalMs, known.intervalMs * 2);
    known.tellAgainMs = nowMs + known.intervalMs;
    this.#log.warn({ error, for_s: secondsSince(known, nowMs), parts: known.parts.size }, message);
  }

  #recovered(part: Reports): void {
    for (const [error, outage] of this.#outages) {
      if (!outage.parts.delete(part) || outage.parts.size > 0) continue;
      this.#outages.delete(error);
      this.#log.info({ error, after_s: secondsSince(outage, this.#nowMs()) }, 'the outage is over');
    }
  }
}

function secondsSince({ sinceMs }: Outage, nowMs: number): number {
  return Math.round((nowMs - sinceMs) / 1_000);
}

import { monotonicMs } from '../clock.ts';
import { type AppError, appErrorWithin, codeOf, messageOf } from '../errors.ts';
import type { Log } from '../log.ts';

/** Reports the success or failure of a part that is retried. */
export interface FailureReporter {
  onError(error: unknown): void;
  /** Called after every success, or only after the first success that follows a failure. */
  onRecovered(): void;
}

interface Outage {
  sinceMs: number;
  tellAgainMs: number;
  intervalMs: number;
  /** The parts that failed for this reason and have not succeeded since. */
  parts: Set<FailureReporter>;
  /** False while the failure may be over at the next try: see `isPassing`. */
  isLogged: boolean;
  message: string;
  error: unknown;
}

/** A lasting outage. */
export interface PresentOutage {
  /** The failed operation, as described by the first part that reported it. */
  message: string;
  error: AppError;
}

/** A lock that another session holds is usually free at the next try: it is an outage only when the same part fails twice. */
const isPassing = (error: unknown): boolean => codeOf(appErrorWithin(error)) === 'ERR_STORE_LOCKED';

const firstIntervalMs = 60_000;
const maximumIntervalMs = 3_600_000;

/**
 * Logs lasting failures: when one begins, at growing intervals while it lasts, and when it ends. Parts that fail for the same reason, such as an
 * unreachable store, are one outage.
 */
export class FailureLog {
  readonly #log: Log;
  readonly #nowMs: () => number;
  /** Keyed by the text of the error. */
  readonly #outages = new Map<string, Outage>();

  constructor(log: Log, nowMs: () => number = monotonicMs) {
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** The reporter of one part; `message` names the failed operation. */
  part(message: string): FailureReporter {
    const part: FailureReporter = {
      onError: (error) => this.#failed(part, error, message),
      onRecovered: () => this.#recovered(part),
    };
    return part;
  }

  /** The outages that were logged, have a remedy and are not over. */
  present(): PresentOutage[] {
    return [...this.#outages.values()].flatMap(({ isLogged, message, error }) => {
      const known = appErrorWithin(error);
      return isLogged && known ? [{ message, error: known }] : [];
    });
  }

  #failed(part: FailureReporter, error: unknown, message: string): void {
    const text = messageOf(error);
    const nowMs = this.#nowMs();
    const known = this.#outages.get(text);
    if (!known) {
      const isLogged = !isPassing(error);
      const times = { sinceMs: nowMs, tellAgainMs: nowMs + firstIntervalMs, intervalMs: firstIntervalMs };
      this.#outages.set(text, { ...times, parts: new Set([part]), isLogged, message, error });
      this.#log[isLogged ? 'warn' : 'debug'](told(error), message);
      return;
    }
    const isLasting = known.parts.has(part);
    known.parts.add(part);
    if (!known.isLogged && isLasting) {
      known.isLogged = true;
      this.#log.warn(told(error), message);
    }
    if (nowMs < known.tellAgainMs) return;
    known.isLogged = true;
    known.intervalMs = Math.min(maximumIntervalMs, known.intervalMs * 2);
    known.tellAgainMs = nowMs + known.intervalMs;
    this.#log.warn({ ...told(error), for_s: secondsSince(known, nowMs), parts: known.parts.size }, message);
  }

  #recovered(part: FailureReporter): void {
    for (const [error, outage] of this.#outages) {
      if (!outage.parts.delete(part) || outage.parts.size > 0) continue;
      this.#outages.delete(error);
      if (!outage.isLogged) continue;
      this.#log.info({ error, after_s: secondsSince(outage, this.#nowMs()) }, 'the outage is over');
    }
  }
}

/** The log fields of an error: its text, and its remedy if known. */
function told(error: unknown): { error: string; remedy?: string } {
  const remedy = appErrorWithin(error)?.remedy;
  return { error: messageOf(error), ...(remedy !== undefined && { remedy }) };
}

function secondsSince({ sinceMs }: Outage, nowMs: number): number {
  return Math.round((nowMs - sinceMs) / 1_000);
}

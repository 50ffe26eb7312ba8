import { monotonicMs } from '../clock.ts';
import { type AppError, appErrorWithin, codeOf, messageOf } from '../errors.ts';
import type { Log } from '../log.ts';

/** What a part that is tried again and again says of how it goes. */
export interface FailureReporter {
  onError(error: unknown): void;
  /** It works; called after every success, or after the first success that follows a failure. */
  onRecovered(): void;
}

interface Outage {
  sinceMs: number;
  tellAgainMs: number;
  intervalMs: number;
  /** The parts that failed for this reason and have not worked since. */
  parts: Set<FailureReporter>;
  /** False while it may be over at the next try: see `isPassing`. */
  isLogged: boolean;
  message: string;
  error: unknown;
}

/** An outage that lasts. */
export interface PresentOutage {
  /** What could not be done, in the words of the part that met it first. */
  message: string;
  error: AppError;
}

/** A lock that another session holds is mostly free again at the next try: it is an outage when the same part fails twice. */
const isPassing = (error: unknown): boolean => codeOf(appErrorWithin(error)) === 'ERR_STORE_LOCKED';

const firstIntervalMs = 60_000;
const maximumIntervalMs = 3_600_000;

/**
 * Logs lasting failures: when one begins, at growing intervals while it lasts, and when it ends. Parts that fail for the
 * same reason, as all of them do when the store is away, are one outage.
 */
export class FailureLog {
  readonly #log: Log;
  readonly #nowMs: () => number;
  /** By the text of the error. */
  readonly #outages = new Map<string, Outage>();

  constructor(log: Log, nowMs: () => number = monotonicMs) {
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** The reports of one part; `message` says what it could not do. */
  part(message: string): FailureReporter {
    const part: FailureReporter = {
      onError: (error) => this.#failed(part, error, message),
      onRecovered: () => this.#recovered(part),
    };
    return part;
  }

  /** What has been logged and is not over, where it has a remedy. */
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

/** What a line says of an error: its text, and what ends it where that is known. */
function told(error: unknown): { error: string; remedy?: string } {
  const remedy = appErrorWithin(error)?.remedy;
  return { error: messageOf(error), ...(remedy !== undefined && { remedy }) };
}

function secondsSince({ sinceMs }: Outage, nowMs: number): number {
  return Math.round((nowMs - sinceMs) / 1_000);
}

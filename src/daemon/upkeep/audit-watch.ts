import type { ChainMemory } from '../../audit/seal/chain.ts';
import { isSealingStopped, readUnsealedAge, unsealedLimitMs } from '../../audit/seal/unsealed-age.ts';
import type { Session } from '../../db/connection/client.ts';
import { monotonicMs, sleep } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { createLoop, type Background } from '../../lib/loop/loop.ts';
import type { FailureLog, FailureReporter } from '../../lib/loop/failure-log.ts';

/** The state of the sealed log for health and metrics. */
export interface AuditStatus {
  /** Age of the oldest unsealed entry, as last read. */
  unsealedAgeMs: number;
  /** How long sealing has been behind, ms; null while it keeps up. */
  stoppedForMs: number | null;
  /** Number of the last seal when `stoppedForMs` was first set; 0 before the first. */
  lastSeal: number;
  /** Why nothing is sealed or dropped (ERR_AUDIT); null while the chain is as it was sealed. */
  broken: string | null;
}

export interface AuditWatchOptions {
  store: Session;
  intervalMs: number;
  log: Log;
  outages: FailureLog;
  /** Default 5 s. */
  everyMs?: number;
}

/** Watches whether the log is sealed. */
export interface AuditWatch extends Background {
  /** The part of the chain that this process has seen. */
  readonly memory: ChainMemory;
  status(): AuditStatus;
  /** Wraps the failure reports of a task that seals or drops: its ERR_AUDIT makes the daemon not ready until it works again. */
  guard(reports: FailureReporter): FailureReporter;
}

const ANSWERS_MS = 4_000;

export function createAuditWatch(options: AuditWatchOptions): AuditWatch {
  const { store, intervalMs, log, outages, everyMs = 5_000 } = options;
  const limitMs = unsealedLimitMs(intervalMs);
  const broken = new Map<FailureReporter, string>();
  let answeredMs = monotonicMs();
  let ageMs = 0;
  let lastSeal = 0;
  let isBehind = false;
  let told = false;
  let asking: Promise<void> | undefined;

  async function ask(): Promise<void> {
    const age = await readUnsealedAge(store);
    ageMs = age.ageMs;
    lastSeal = age.lastSeal;
    answeredMs = monotonicMs();
    isBehind = isSealingStopped(age, limitMs);
  }

  function status(): AuditStatus {
    const silentMs = monotonicMs() - answeredMs;
    const isSilent = silentMs > limitMs;
    return {
      unsealedAgeMs: isSilent ? Math.max(ageMs, silentMs) : ageMs,
      stoppedForMs: isSilent ? silentMs : isBehind ? ageMs : null,
      lastSeal,
      broken: broken.values().next().value ?? null,
    };
  }

  function tell(): void {
    const { stoppedForMs } = status();
    const stopped = stoppedForMs !== null;
    if (stopped === told) return;
    told = stopped;
    if (stopped) log.error({ for_s: Math.round(stoppedForMs / 1_000) }, 'the log is not sealed any more');
    else log.info({}, 'the log is sealed again');
  }

  const reports = outages.part('the age of what is not sealed could not be read, trying again');
  const loop = createLoop({
    async step(signal) {
      asking ??= ask().finally(() => (asking = undefined));
      // A locked table does not answer, but a stop of sealing is reported anyway.
      await Promise.race([asking, sleep(ANSWERS_MS, signal)]);
      tell();
      return everyMs;
    },
    onError(error) {
      reports.onError(error);
      tell();
    },
    onRecovered: () => reports.onRecovered(),
  });

  return {
    memory: {},
    status,
    guard(inner) {
      const guarded: FailureReporter = {
        onError(error) {
          if (error instanceof AppError && error.code === 'ERR_AUDIT') broken.set(guarded, error.message);
          inner.onError(error);
        },
        onRecovered() {
          broken.delete(guarded);
          inner.onRecovered();
        },
      };
      return guarded;
    },
    start: () => loop.start(),
    stop: () => loop.stop(),
  };
}

import { sleep } from '../../lib/clock.ts';
import { refusalWithin } from '../../lib/server-error.ts';

/** Why our transaction lost to another one: the server rolled it back, and it may be retried. */
export type Contention = 'deadlock' | 'lock-wait';

/** A deadlock is reported at once, a lock wait after 10 s: a person's command waits 20 s for another session's lock. */
const tries: Readonly<Record<Contention, number>> = { deadlock: 5, 'lock-wait': 2 };

/** Returns null for every other error. */
export function contentionOf(error: unknown): Contention | null {
  switch (refusalWithin(error)?.errno) {
    case 1205:
      return 'lock-wait';
    case 1213:
    // MariaDB's ER_CHECKREAD, where innodb_snapshot_isolation is on: the row was changed since the statement began.
    case 1020:
      return 'deadlock';
    default:
      return null;
  }
}

/**
 * Retries the work a few times if it lost a lock to another transaction; `onRetry` counts the retries. The work must be one transaction, or
 * one statement that is its own.
 */
export async function retryContention<T>(
  work: () => Promise<T>,
  { after, onRetry }: { after: readonly Contention[]; onRetry(contention: Contention): void },
): Promise<T> {
  for (let done = 1; ; done += 1) {
    try {
      return await work();
    } catch (error) {
      const contention = contentionOf(error);
      if (contention === null || !after.includes(contention) || done >= tries[contention]) throw error;
      onRetry(contention);
      await sleep(5 * done * Math.random());
    }
  }
}

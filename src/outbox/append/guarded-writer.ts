import type { Session, Store } from '../../db/connection/client.ts';
import { AppError, codeOf } from '../../lib/errors.ts';
import { guardedUpdate, readCounters, selectDisabled, type Counters } from '../checkpoint.ts';

/** One guarded transaction: the rows to write if the counters are unchanged since planning. */
export interface Plan<T> {
  /** Assignments to the checkpoint's row, without the counters. */
  set: readonly string[];
  statements: readonly string[];
  /** The webhooks of its deliveries. */
  webhookIds?: ReadonlySet<number>;
  /** The counters after the transaction. */
  after: Counters;
  /** An event of the transaction: if it exists, an earlier commit succeeded but its answer was lost. */
  witness?: { seq: number; id: string };
  result: T;
}

/** Writes rows that only the holder of the capture lease may write. */
export interface GuardedWriter {
  /**
   * Commits a plan in one transaction. When another process moved the counters meanwhile, it plans again with the new counters. Throws AppError
   * ERR_LEASE_LOST when this process may no longer write, StaleRoute when an operator has disabled a webhook of its deliveries, otherwise the server's
   * error; nothing is written in these cases.
   */
  commit<T>(plan: (counters: Counters) => Promise<Plan<T>>): Promise<T>;
  readonly counters: Counters;
}

/** The events were routed before an operator disabled one of the webhooks. */
export class StaleRoute extends Error {}

const planTries = 20;

export async function openGuardedWriter(store: Store, fence: number): Promise<GuardedWriter> {
  let counters: Counters = await claimFence(store, fence);

  async function commit<T>(plan: (counters: Counters) => Promise<Plan<T>>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      const planned = await plan(counters);
      try {
        await write(store, fence, counters, planned);
        counters = planned.after;
        return planned.result;
      } catch (error) {
        const stored = await readCounters(store);
        if (stored.fence !== fence || stored.epoch !== counters.epoch) throw leaseLost(error);
        if (await isWritten(store, planned)) {
          counters = planned.after;
          return planned.result;
        }
        if (await isStale(store, planned)) throw new StaleRoute('a webhook was disabled', { cause: error });
        const moved = !sameCounters(stored, counters);
        counters = stored;
        if (!moved || tries === planTries) throw error;
      }
    }
  }

  return {
    commit,
    get counters() {
      return counters;
    },
  };
}

/** Fences off the process that captured before: waits for its running append, if any, and makes all later ones fail. */
async function claimFence(store: Store, fence: number): Promise<Counters> {
  await store.run('UPDATE checkpoint SET fence = ? WHERE id = 1 AND fence <= ?', [fence, fence]);
  const counters = await readCounters(store);
  if (counters.fence !== fence) throw leaseLost();
  return counters;
}

function leaseLost(cause?: unknown): AppError {
  return new AppError('ERR_LEASE_LOST', 'this process does not capture any more', { cause });
}

async function write(store: Store, fence: number, counters: Counters, plan: Plan<unknown>): Promise<void> {
  const set = [
    ...plan.set,
    `next_event_seq = ${plan.after.nextEventSeq}`,
    `next_delivery_id = ${plan.after.nextDeliveryId}`,
    `staging = ${plan.after.staging}`,
  ];
  const { webhookIds = new Set() } = plan;
  await store.commit([guardedUpdate({ fence, webhookIds }, counters, set), ...plan.statements]);
}

async function isWritten(session: Session, { witness }: Plan<unknown>): Promise<boolean> {
  if (!witness) return false;
  const rows = await session.rows('SELECT 1 FROM event_log WHERE seq = ? AND id = ?', [
    witness.seq,
    witness.id,
  ]);
  return rows.length > 0;
}

async function isStale(session: Session, { webhookIds }: Plan<unknown>): Promise<boolean> {
  return webhookIds !== undefined && (await session.rows(selectDisabled(webhookIds))).length > 0;
}

function sameCounters(a: Counters, b: Counters): boolean {
  return (
    a.nextEventSeq === b.nextEventSeq && a.nextDeliveryId === b.nextDeliveryId && a.staging === b.staging
  );
}

/** Whether the server refused a row because of a duplicate key. */
export function isDuplicate(error: unknown): boolean {
  return codeOf(error) === 'ER_DUP_ENTRY';
}

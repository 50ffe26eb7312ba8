import type { DatabaseUrl } from '../../db/connection/database-url.ts';
import type { LogPlace } from '../types.ts';
import { Tally, type Comparison } from './compare/comparison.ts';
import { TransactionComparer, type Readings } from './compare/compare-transactions.ts';
import { readWithZongji, type ReadingEnd } from './read-with-zongji.ts';

/** A range of the log as our reader read it, and how zongji must read it. Plain data, because it is passed to another thread. */
export interface ComparisonJob extends Readings {
  url: DatabaseUrl;
  serverId: number;
  from: LogPlace;
  until: LogPlace;
  /** Names of the watched tables by schema, in every spelling that may occur in the log. */
  names: Readonly<Record<string, string[]>>;
}

export interface Compared extends Comparison {
  /** `time`: the time limit ended it. `failed`: zongji's thread ended on its own, out of memory or because of an error. */
  end: ReadingEnd | 'time' | 'failed';
}

/** Transactions compared between two progress messages. */
const REPORT_EVERY = 500;

/** Reads the job's range with zongji and compares. Calls `onProgress` with the results so far. */
export async function compareWithZongji(
  job: ComparisonJob,
  onProgress: (compared: Comparison) => void = () => undefined,
): Promise<Compared> {
  const tally = new Tally();
  const comparer = new TransactionComparer(job, tally);
  let taken = 0;
  const reading = readWithZongji({
    url: job.url,
    serverId: job.serverId,
    from: job.from,
    until: job.until,
    tables: job.names,
    onTransaction(transaction) {
      comparer.take(transaction);
      taken += 1;
      if (taken % REPORT_EVERY === 0) onProgress(tally.result());
    },
  });
  const end = await reading.end;
  return { ...comparer.end(), end };
}

import type { DatabaseUrl } from '../../db/connection/database-url.ts';
import type { LogPlace } from '../types.ts';
import { Tally, type Comparison } from './compare/comparison.ts';
import { TransactionComparer, type Readings } from './compare/compare-transactions.ts';
import { readWithZongji, type ReadingEnd } from './read-with-zongji.ts';

/** A range of the log as our reader gave it, and how zongji is to read the same. Plain data: it goes to another thread. */
export interface ComparisonJob extends Readings {
  url: DatabaseUrl;
  serverId: number;
  from: LogPlace;
  until: LogPlace;
  /** Names of the watched tables by schema, in every spelling that the log may have. */
  names: Readonly<Record<string, string[]>>;
}

export interface Compared extends Comparison {
  /** `time`: the time limit ended it. `failed`: zongji's thread ended by itself, out of memory or by a fault. */
  end: ReadingEnd | 'time' | 'failed';
}

/** So many transactions are compared between two messages about the progress. */
const REPORT_EVERY = 500;

/** Reads the range of the job with zongji and compares. Calls `onProgress` with all that was compared so far. */
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

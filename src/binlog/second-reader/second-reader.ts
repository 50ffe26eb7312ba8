import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Comparison } from './compare/comparison.ts';
import type { Compared, ComparisonJob } from './compare-with-zongji.ts';

/** Memory limits of zongji and the comparison. A thread that needs more is terminated; the daemon is not. */
const resourceLimits = { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 8 };

/**
 * Compares a range of the log with zongji's reading of it. zongji runs in its own thread, loaded for this job only: it can neither
 * delay capture nor exhaust its memory, and an infinite loop (a damaged log) ends with the thread. Never rejects; `leftOut` contains
 * what was not compared.
 */
export function runSecondReader(
  job: ComparisonJob,
  { timeMs, signal }: { timeMs: number; signal?: AbortSignal },
): Promise<Compared> {
  const { promise, resolve } = Promise.withResolvers<Compared>();
  // The extension is .ts in a checkout and .js in a build.
  const file = new URL(`./worker${extname(import.meta.filename)}`, import.meta.url);
  let soFar: Comparison = { tables: {}, differences: [], leftOut: [] };
  const worker = new Worker(file, { workerData: job, resourceLimits, stdout: true, stderr: true });
  const finish = (compared: Compared): void => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    resolve(compared);
    void worker.terminate();
  };
  const stop = (): void => finish(unfinished(job, soFar, 'time'));
  const timer = setTimeout(stop, timeMs);
  signal?.addEventListener('abort', stop, { once: true });
  worker.on('message', (message: Comparison | Compared) => {
    if ('end' in message) finish(message);
    else soFar = message;
  });
  worker.on('error', () => finish(unfinished(job, soFar, 'failed')));
  worker.on('exit', () => finish(unfinished(job, soFar, 'failed')));
  if (signal?.aborted) stop();
  return promise;
}

/** Counts rows without a known result as left out. */
function unfinished(job: ComparisonJob, soFar: Comparison, end: 'time' | 'failed'): Compared {
  const all = job.transactions.reduce((sum, { rows }) => sum + rows.length, 0);
  const known =
    Object.values(soFar.tables).reduce((sum, { rows }) => sum + rows, 0) +
    soFar.leftOut.reduce((sum, { column, count }) => sum + (column === null ? count : 0), 0);
  const rest = { reason: 'unread', table: null, column: null, type: null, count: all - known } as const;
  return { ...soFar, leftOut: rest.count > 0 ? [...soFar.leftOut, rest] : soFar.leftOut, end };
}

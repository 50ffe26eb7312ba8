import { parentPort, workerData } from 'node:worker_threads';
import { compareWithZongji, type ComparisonJob } from './compare-with-zongji.ts';

/** The thread posts the results so far, or, with `end`, the final result. */
const compared = await compareWithZongji(workerData as ComparisonJob, (soFar) =>
  parentPort?.postMessage(soFar),
);
parentPort?.postMessage(compared);

import { parentPort, workerData } from 'node:worker_threads';
import { compareWithZongji, type ComparisonJob } from './compare-with-zongji.ts';

/** What the thread posts: what was compared so far, or, with `end`, all of it. */
const compared = await compareWithZongji(workerData as ComparisonJob, (soFar) =>
  parentPort?.postMessage(soFar),
);
parentPort?.postMessage(compared);

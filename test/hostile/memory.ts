/*
 * Run by hand, `npm run test:hostile-memory`: RSS, heap and buffers before and after 10,000 hostile responses. The engine's heap
 * settles at its size within the first 8,000 or so: those are the warm-up.
 */
import { runHostileResponses } from './memory-run.ts';

const { before, after, outcomes } = await runHostileResponses(8_000, 10_000);
process.stdout.write(`${JSON.stringify({ unit: 'MiB', before, after, outcomes }, null, 2)}\n`);

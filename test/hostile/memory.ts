/*
 * Run by hand, `npm run test:hostile-memory`: RSS, heap and buffers at every thousandth of 10,000 hostile responses, after a
 * warm-up in which the engine's heap takes its size.
 */
import { runHostileResponses } from './memory-run.ts';

const { samples, outcomes } = await runHostileResponses(10_000, 1_000, 10);
const lines = samples.map(({ rss, heap, external }, step) => [step * 1_000, rss, heap, external].join('\t'));
process.stdout.write(
  `responses\tRSS\theap\texternal (MiB)\n${lines.join('\n')}\n${JSON.stringify(outcomes)}\n`,
);

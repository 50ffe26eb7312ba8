import type { Told } from './oracle.ts';

export interface Delivered {
  /** The event's id: the same on every attempt. */
  id: string;
  told: Told;
}

export interface Differences {
  /** Expected and never accepted by the receiver. */
  lost: number;
  /** Accepted under a second id. */
  doubled: number;
  /** Accepted, and nothing of it in the history. */
  invented: number;
  /** Accepted before something of its entity that came first. */
  outOfOrder: number;
  /** The first few, in words. */
  examples: string[];
}

const exampleCount = 10;

/** Compares, entity by entity, what should have come with what came first under each id. */
export function compare(
  expected: ReadonlyMap<string, readonly Told[]>,
  delivered: ReadonlyMap<string, readonly Delivered[]>,
): Differences {
  const differences: Differences = { lost: 0, doubled: 0, invented: 0, outOfOrder: 0, examples: [] };
  const example = (text: string): void => {
    if (differences.examples.length < exampleCount) differences.examples.push(text);
  };
  for (const entity of new Set([...expected.keys(), ...delivered.keys()])) {
    const wanted = expected.get(entity) ?? [];
    const came = (delivered.get(entity) ?? []).map(({ told }) => told);
    const missing = without(wanted, came);
    const extra = without(came, wanted);
    const doubled = extra.filter((told) => wanted.includes(told));
    differences.lost += missing.length;
    differences.doubled += doubled.length;
    differences.invented += extra.length - doubled.length;
    for (const told of missing) example(`${entity}: lost ${told}`);
    for (const told of extra) example(`${entity}: ${wanted.includes(told) ? 'doubled' : 'invented'} ${told}`);
    if (missing.length > 0 || extra.length > 0) continue;
    const misplaced = came.filter((told, i) => told !== wanted[i]);
    differences.outOfOrder += misplaced.length;
    if (misplaced.length > 0) example(`${entity}: out of order from ${misplaced[0]!}`);
  }
  return differences;
}

/** What of `list` is left when each of `others` takes away one like it. */
function without(list: readonly Told[], others: readonly Told[]): Told[] {
  const counts = new Map<Told, number>();
  for (const told of others) counts.set(told, (counts.get(told) ?? 0) + 1);
  return list.filter((told) => {
    const count = counts.get(told) ?? 0;
    if (count > 0) counts.set(told, count - 1);
    return count === 0;
  });
}

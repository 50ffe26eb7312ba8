import { maxProblems } from '../problems.ts';
import { isCollection, isMap, isScalar, visit, type Document, type Node } from 'yaml';

/*
 * What a file may cost to read. People do not write such files, programs do, by mistake or on purpose; without bounds 20,000 keys took
 * 16 s, and 10,000 brackets the stack.
 */

/** Clinics with hundreds of webhooks and rules stay below a tenth of these. */
export const maxBytes = 4 * 2 ** 20;
const maxNodes = 100_000;
const maxDepth = 64;

export const tooDeep = `the file is nested more than ${maxDepth} levels deep`;

/** A mistake, and the offset in the file at which it stands. */
export interface ShapeProblem {
  offset: number;
  message: string;
}

/** Keys that stand twice, and what is beyond the bounds. */
export function checkShape(document: Document): ShapeProblem[] {
  const problems: ShapeProblem[] = [];
  let nodes = 0;
  const add = (node: Node | null, message: string): void => {
    if (problems.length < maxProblems) problems.push({ offset: node?.range?.[0] ?? 0, message });
  };
  const stop = (node: Node | null, message: string): symbol => {
    problems.length = 0;
    add(node, message);
    return visit.BREAK;
  };
  visit(document, {
    Node(_key, node, ancestors) {
      nodes += 1;
      if (nodes > maxNodes) return stop(null, `the file has more than ${maxNodes} values`);
      if (ancestors.filter(isCollection).length >= maxDepth) return stop(node, tooDeep);
      for (const twice of isMap(node) ? findDoubleKeys(node.items) : [])
        add(twice, 'this key stands twice in its map');
      return undefined;
    },
  });
  return problems;
}

/** The second of each two keys that are the same; the merge key may stand more than once. */
function findDoubleKeys(pairs: readonly { key: unknown }[]): Node[] {
  const seen = new Set<string>();
  return pairs.flatMap(({ key }) => {
    if (!isScalar(key) || typeof key.value !== 'string' || key.value === '<<') return [];
    if (!seen.has(key.value)) {
      seen.add(key.value);
      return [];
    }
    return [key];
  });
}

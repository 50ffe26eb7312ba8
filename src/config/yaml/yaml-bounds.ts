import { maxProblems } from '../problems.ts';
import { isCollection, isMap, isScalar, visit, type Document, type Node } from 'yaml';

/*
 * Bounds on the cost of reading a file. Programs write such files, by mistake or on purpose; without bounds 20,000 keys took 16 s, and 10,000 brackets
 * overflowed the stack.
 */

/** A configuration with hundreds of webhooks and rules stays below a tenth of these bounds. */
export const maxBytes = 4 * 2 ** 20;
const maxNodes = 100_000;
const maxDepth = 64;

export const tooDeep = `the file is nested more than ${maxDepth} levels deep`;

/** A mistake, and its offset in the file. */
export interface ShapeProblem {
  offset: number;
  message: string;
}

/** Finds duplicate keys and values beyond the bounds. */
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

/** The second key of each equal pair; the merge key may occur more than once. */
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

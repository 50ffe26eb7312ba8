import type { Source } from '../source/source.ts';
import { CascadeReach } from './cascade-reach.ts';
import { findTriggers } from './find-triggers.ts';
import type { ForeignKey, TableName } from './foreign-key.ts';
import { readKeyGraph, tableKey } from './read-keys.ts';
import { createTrigger, triggerName } from './trigger-script.ts';

/** A foreign key whose action changes watched tables, directly or through other tables, without appearing in the log. */
export interface SilentKey {
  key: ForeignKey;
  /** State of the trigger that replaces the key's ON DELETE action; null if no trigger is possible. */
  trigger: 'there' | 'missing' | null;
  /** The actions that no trigger covers. */
  uncovered: readonly ('on update' | 'circle')[];
}

/** Whether a trigger logs everything that the key changes. */
export const isCovered = ({ trigger, uncovered }: SilentKey): boolean =>
  trigger !== 'missing' && uncovered.length === 0;

/** Finds the keys through which InnoDB changes rows of watched tables, on a server that allows it. */
export async function findSilentKeys(
  source: Source,
  watched: readonly TableName[],
  foldsNames: boolean,
): Promise<{ keys: SilentKey[]; unread: TableName[] }> {
  const { graph, unread } = await readKeyGraph(source, watched, foldsNames);
  const reach = new CascadeReach(
    graph,
    new Set(watched.map((table) => tableKey(table, foldsNames))),
    foldsNames,
  );
  const keys = reach.keys();
  const triggers = await findTriggers(source, keys);
  return { keys: keys.map((key) => describeKey(key, reach, triggers)), unread };
}

function describeKey(key: ForeignKey, reach: CascadeReach, triggers: ReadonlySet<string>): SilentKey {
  const isCircular = key.onDelete !== null && reach.isCircular(key);
  const isThere = triggers.has(triggerName(key));
  const canHave = createTrigger(key) !== null && (!isCircular || isThere);
  return {
    key,
    trigger: !canHave ? null : isThere ? 'there' : 'missing',
    uncovered: [
      ...(isCircular && !isThere ? (['circle'] as const) : []),
      ...(key.onUpdate !== null ? (['on update'] as const) : []),
    ],
  };
}

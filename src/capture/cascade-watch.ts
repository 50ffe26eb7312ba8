import { CascadeReach, type Parent } from '../binlog/foreign-key/cascade-reach.ts';
import { nameTable } from '../binlog/foreign-key/foreign-key.ts';
import { findTriggers } from '../binlog/foreign-key/find-triggers.ts';
import type { ParentReading } from '../binlog/foreign-key/parent-rows.ts';
import { readKeyGraph, tableKey, type DefinedTable, type KeyGraph } from '../binlog/foreign-key/read-keys.ts';
import { triggerPrefix } from '../binlog/foreign-key/trigger-script.ts';
import { readLogStatus } from '../binlog/source/log-file.ts';
import type { Source } from '../binlog/source/source.ts';
import type { KeyDefinition, LogPlace, ParentChange, Position } from '../binlog/types.ts';
import type { Installation } from '../db/schema/installation.ts';
import { createUnloggedCascade } from '../event/unlogged-cascade.ts';
import type { DomainEvent } from '../event/types.ts';
import type { KeysInForce } from '../outbox/types.ts';
import type { CompiledSource } from './compiled-source.ts';
import { isInForce } from './transaction/live-schema.ts';

/*
 * Tracks which foreign keys and triggers existed at a position in the log:
 *
 *   at the checkpoint     as stored with the checkpoint
 *   behind a definition   keys of the tables that it names as they are now; our triggers as the statement says
 *   behind the end of the log at the time of reading the dictionary: everything as it is now
 */

/** The contents of the dictionary, and the end of the log after reading it. */
interface Look extends KeysInForce {
  end: LogPlace | undefined;
}

export interface CascadeContext {
  lineage: string;
  transactionId: string;
  committedAtMs: number;
  position: Position;
}

/** Knows which keys are in force at capture's position, and turns changes of parents into events. */
export interface CascadeWatch {
  /** Reads the keys again, for the reader that is about to be opened at a checkpoint. */
  begin(kept: KeysInForce | null): Promise<ParentReading>;
  /** Follows a definition. True when more columns must be read than the present reader knows. */
  follow(definition: KeyDefinition): Promise<boolean>;
  /** Called after a transaction: returns the state to store with the checkpoint, if it changed. */
  reach(position: LogPlace): KeysInForce | null;
  /** One event for each parent and kind of change whose cascade reaches a watched table. */
  eventsOf(parents: readonly ParentChange[], context: CascadeContext): DomainEvent[];
}

export interface CascadeWatchOptions {
  source: Source;
  installation: Installation;
  clinic(): CompiledSource;
}

export function createCascadeWatch({ source, installation, clinic }: CascadeWatchOptions): CascadeWatch {
  let inForce: KeysInForce = { graph: {}, triggers: [] };
  /** Null once it is in force. */
  let live: Look | null = null;
  let isKept = true;
  let reading: ReturnType<CascadeReach['parents']> = new Map();

  const foldsNames = (): boolean => clinic().identity.lowerCaseTableNames !== 0;
  const reachOf = (graph: KeyGraph): CascadeReach =>
    new CascadeReach(
      graph,
      new Set(watchedTables(clinic()).map((each) => tableKey(each, foldsNames()))),
      foldsNames(),
    );

  async function look(): Promise<Look> {
    const { graph } = await readKeyGraph(source, watchedTables(clinic()), foldsNames());
    const triggers = await findTriggers(source, reachOf(graph).keys());
    return { graph, triggers: [...triggers], end: await readLogStatus(source, clinic().identity) };
  }

  /** Parents by the keys in force now and by the known later keys. */
  function parentsToRead(): typeof reading {
    return reachOf(mergeGraphs(inForce.graph, live?.graph ?? {})).parents();
  }

  return {
    async begin(state) {
      live = await look();
      inForce = state ?? toKept(live);
      isKept = state !== null;
      reading = parentsToRead();
      const folds = foldsNames();
      const tables = [inForce.graph, live.graph].flatMap((graph) => Object.values(graph));
      const schemas = new Set(
        [...watchedTables(clinic()), ...tables].map(({ schema }) => fold(schema, folds)),
      );
      const parents = reading;
      return {
        parentOf: (schema, table) => parents.get(tableKey({ schema, table }, folds)),
        concerns: (schema) => schemas.has(fold(schema, folds)),
      };
    },
    async follow(definition) {
      live = await look();
      inForce = followDefinition(inForce, live.graph, definition);
      isKept = false;
      return !isWithin(parentsToRead(), reading);
    },
    reach(position) {
      if (live && isInForce(live, position)) {
        const next = toKept(live);
        isKept &&= JSON.stringify(next) === JSON.stringify(inForce);
        inForce = next;
        live = null;
      }
      if (isKept) return null;
      isKept = true;
      return inForce;
    },
    eventsOf(parents, context) {
      const reach = reachOf(inForce.graph);
      const triggers = new Set(inForce.triggers);
      const ours = clinic().dictionary.schema;
      return parents.flatMap((parent) => {
        const { op, columns } = parent;
        const change = op === 'delete' ? op : new Set(columns);
        const reached = reach.reached(tableKey(parent, foldsNames()), change, triggers);
        if (reached.size === 0) return [];
        const children = [...reached].map((child) => nameTable(reach.table(child)!, ours)).toSorted();
        const table = nameTable(parent, ours);
        return createUnloggedCascade({
          ...{ ...context, installation: installation.uuid },
          ...{ table, operation: op, children },
        });
      });
    },
  };
}

const fold = (name: string, folds: boolean): string => (folds ? name.toLowerCase() : name);

function watchedTables({ dictionary, rules }: CompiledSource): { schema: string; table: string }[] {
  return [...rules.watch.keys()].flatMap((name) => {
    const table = dictionary.tables.get(name);
    return table && !table.isView ? [{ schema: dictionary.schema, table: table.name }] : [];
  });
}

const toKept = ({ graph, triggers }: Look): KeysInForce => ({ graph, triggers });

function followDefinition(
  { graph, triggers }: KeysInForce,
  now: KeyGraph,
  definition: KeyDefinition,
): KeysInForce {
  return {
    graph: followTables(graph, now, definition.names),
    triggers: followTriggers(triggers, definition),
  };
}

/** Keys of the tables that a definition names as they are now; other keys as they were. */
function followTables(before: KeyGraph, now: KeyGraph, names: ReadonlySet<string>): KeyGraph {
  const isNamed = ([, { table }]: [string, DefinedTable]): boolean => names.has(table.toLowerCase());
  return Object.fromEntries([
    ...Object.entries(before).filter((entry) => !isNamed(entry)),
    ...Object.entries(now).filter((entry) => isNamed(entry) || before[entry[0]] === undefined),
  ]);
}

/** The log shows which of our triggers were created and dropped. */
function followTriggers(before: readonly string[], { names, trigger }: KeyDefinition): string[] {
  if (trigger === null) return [...before];
  const named = [...names].filter((name) => name.startsWith(triggerPrefix));
  const others = before.filter((name) => !named.includes(name));
  return trigger === 'create' ? [...others, ...named] : others;
}

/** Every key of either graph. */
function mergeGraphs(a: KeyGraph, b: KeyGraph): KeyGraph {
  const merged: Record<string, DefinedTable> = { ...a };
  for (const [name, table] of Object.entries(b)) {
    const keys = new Map(
      [...(a[name]?.keys ?? []), ...table.keys].map((key) => [JSON.stringify(key), key] as const),
    );
    merged[name] = { ...table, keys: [...keys.values()] };
  }
  return merged;
}

function isWithin(inner: ReadonlyMap<string, Parent>, outer: ReadonlyMap<string, Parent>): boolean {
  return [...inner].every(([name, { deletes, columns, rowEnd }]) => {
    const known = outer.get(name);
    return (
      known !== undefined &&
      (known.deletes || !deletes) &&
      columns.isSubsetOf(known.columns) &&
      rowEnd === known.rowEnd
    );
  });
}

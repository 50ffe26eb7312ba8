import type { Column, Row, TableSchema } from '../../binlog/types.ts';
import type { ClinicZone } from '../../change/clinic-zone.ts';
import type { Change } from '../../change/types.ts';
import { formatTimestamp } from '../body.ts';
import { absentCells } from './absent-cells.ts';
import {
  compileRules,
  choose,
  type CompiledRule,
  type CompiledTable,
  type Candidate,
} from './compile-row-rule.ts';
import { idPart } from '../event-id.ts';
import { createRowLookup } from './lookup-rows.ts';
import { MappedEvent, type Origin } from './mapped-event.ts';
import type { Rule } from '../rule/rule.ts';
import { siblingsAmong, siblingsOf } from './siblings.ts';
import type { Run } from './source.ts';
import type { DomainEvent, MapContext, Rules } from '../types.ts';

/** Maximum number of events that wait for the source at one time: enough for the resolver to combine many look-ups in one query. */
const maxWaiting = 256;

/** Created for the first rule of a transaction that holds. */
interface Transaction extends Run, Origin {
  context: MapContext;
  /** Changes whose row was read again: once for each change, however many rules need it. */
  completed: Map<Change, Promise<Change>>;
}

/**
 * Compiles rules to `Rules.map`. A rule is bound to a table's layout at the first row of that layout. Events that need nothing
 * from the source are created synchronously.
 */
export function createMap(rules: readonly Rule[], zone: ClinicZone): Rules['map'] {
  const rulesOf = Map.groupBy(rules, (rule) => rule.table.name.toLowerCase());
  const bound = new WeakMap<TableSchema, CompiledTable | null>();
  const siblings = siblingsOf(rules);

  function bindTable(layout: TableSchema): CompiledTable | null {
    const ofTable = rulesOf.get(layout.name.toLowerCase());
    const table = ofTable ? compileRules(ofTable, layout, zone) : null;
    bound.set(layout, table);
    return table;
  }

  return async (changes, context) => {
    const events: (DomainEvent | null)[] = [];
    let waiting: Promise<void>[] = [];
    let transaction: Transaction | undefined;
    let layout: TableSchema | undefined;
    let table: CompiledTable | null | undefined;
    for (const change of changes) {
      if (change.table !== layout) {
        layout = change.table;
        table = bound.get(layout);
        if (table === undefined) table = bindTable(layout);
      }
      if (!table) continue;
      for (const candidate of table[change.op]) {
        const rule = choose(candidate, change);
        if (!rule) continue;
        transaction ??= {
          ...begin(changes, context, zone),
          siblings: context.siblings ?? siblingsAmong(changes, siblings, context),
        };
        const event = rule === 'unknown' ? undefined : fire({ ...candidate, rule, change }, transaction);
        if (event) {
          events.push(event);
          continue;
        }
        const place = events.push(null) - 1;
        waiting.push(
          fireLater(candidate, change, transaction).then((late) => {
            events[place] = late;
          }),
        );
      }
      if (waiting.length >= maxWaiting) {
        await Promise.all(waiting);
        waiting = [];
      }
    }
    if (waiting.length > 0) await Promise.all(waiting);
    return events.filter((event) => event !== null);
  };
}

function begin(
  changes: readonly Change[],
  context: MapContext,
  zone: ClinicZone,
): Omit<Transaction, 'siblings'> {
  return {
    context,
    zone,
    idPart: idPart(context.lineage, context.transactionId),
    commitTime: formatTimestamp(context.committedAtMs),
    find: createRowLookup(changes, context),
    completed: new Map(),
  };
}

interface Firing {
  type: string;
  rule: CompiledRule;
  change: Change;
}

/** The event, if the change alone is enough to make it. */
function fire({ type, rule, change }: Firing, transaction: Transaction): DomainEvent | undefined {
  if (rule.data.asks || rule.subject.asks) return undefined;
  const key = rule.keyOf(change);
  const data = rule.data.read(change, transaction);
  const subject = rule.subject.read(change, transaction);
  if (key === undefined || data === undefined || subject === undefined) return undefined;
  return new MappedEvent({ type, change, key, data, subject }, transaction);
}

/** Like `fire`, but it queries the source: for rows to look up, and for the row itself if the binlog lacks cells. */
async function fireLater(
  candidate: Candidate,
  change: Change,
  transaction: Transaction,
): Promise<DomainEvent | null> {
  const event = await tryLater(candidate, change, transaction);
  if (event !== undefined) return event;
  let complete = transaction.completed.get(change);
  if (!complete) transaction.completed.set(change, (complete = readAgain(change, transaction.context)));
  const late = await tryLater(candidate, await complete, transaction);
  if (late === undefined) throw absentCells(change);
  if (late) late.readLate = absentAfter(change).map(({ name }) => name);
  return late;
}

/** Returns undefined if the event depends on cells that the binlog left out. */
async function tryLater(
  { type, rules }: Candidate,
  change: Change,
  transaction: Transaction,
): Promise<MappedEvent | null | undefined> {
  for (const rule of rules) {
    let verdict = rule.test(change);
    let scope: Change | undefined = change;
    if (verdict && rule.borrowing) {
      scope = await rule.borrowing.extend(change, transaction);
      verdict = scope && rule.borrowing.test(scope);
    }
    if (verdict === false) continue;
    if (verdict === undefined || !scope) return undefined;
    const key = rule.keyOf(scope);
    const data = await rule.data.read(scope, transaction);
    const subject = await rule.subject.read(scope, transaction);
    if (key === undefined || data === undefined || subject === undefined) return undefined;
    return new MappedEvent({ type, change, key, data, subject }, transaction);
  }
  return null;
}

/** Fills cells that the binlog left out from the current row. An old value that was overwritten stays unknown. */
async function readAgain(change: Change, { reread }: MapContext): Promise<Change> {
  // A deleted row cannot be read again: a row that now has its key is a different row.
  const row = change.op === 'delete' ? null : await reread?.(change);
  if (!row) throw absentCells(change);
  const { before, after } = change;
  const fill = (image: Row): Row =>
    image.map((cell, i) => (cell === undefined && after?.[i] === undefined ? row[i] : cell));
  return { ...change, before: before && fill(before), after: after && fill(after) };
}

const absentAfter = ({ table, after }: Change): readonly Column[] =>
  table.columns.filter((_column, i) => after?.[i] === undefined);

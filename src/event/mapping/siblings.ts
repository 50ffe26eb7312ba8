import type { Cell, Row } from '../../binlog/types.ts';
import { cellText } from '../../change/net-changes.ts';
import type { Change } from '../../change/types.ts';
import { KeyNumbers } from '../../lib/key-numbers.ts';
import type { Rule, Sibling, Source } from '../rule/rule.ts';
import type { MapContext, Siblings } from '../types.ts';
import { absentCells } from './absent-cells.ts';
import { canonicalLiteral, compileMatch, isNumeric } from './match.ts';

/** Markers stored for a key instead of a row number: its rows differ, or one of them could not be read. */
const DIFFERENT = 0;
const UNREADABLE = 1;
const FIRST_ROW = 2;

/** The rows of one transaction that one `sibling` source can find. */
interface Index {
  sibling: Sibling;
  /** Null if the row does not match; undefined if the image lacks a cell that decides it. */
  keyOf(change: Change, image: Row): string | null | undefined;
  /** Indices, in the layout of a change, of all cells that the sibling reads. */
  cellsOf(change: Change): readonly number[];
  /** Key → DIFFERENT, UNREADABLE or FIRST_ROW + the row's index in `rows`. */
  numbers: KeyNumbers;
  /** Each combination of selected cells is stored once: an audit log names few users in many rows. */
  rows: Row[];
  places: Map<string, number>;
  /** A change that may match any key, or whose selected cells are unknown: for the error message. */
  unreadable: { change: Change; matchesAny: boolean } | null;
}

/** See `Siblings`. Each noted row takes 16 to 32 bytes outside the heap. */
export class SiblingRows implements Siblings {
  readonly #indices: ReadonlyMap<Sibling, Index>;
  readonly #ofTable: ReadonlyMap<string, readonly Index[]>;
  readonly #reread: MapContext['reread'];

  constructor(siblings: readonly Sibling[], reread: MapContext['reread']) {
    const indices = siblings.map(createIndex);
    this.#indices = new Map(indices.map((index) => [index.sibling, index]));
    this.#ofTable = Map.groupBy(indices, ({ sibling }) => sibling.table.name.toLowerCase());
    this.#reread = reread;
  }

  async add(changes: readonly Change[]): Promise<void> {
    for (const change of changes) {
      if (change.after === null) continue;
      for (const index of this.#ofTable.get(change.table.name.toLowerCase()) ?? [])
        await this.#note(index, change, change.after);
    }
  }

  find(sibling: Sibling, cells: readonly Cell[]): Promise<Row | null> {
    const { numbers, rows, unreadable } = this.#indices.get(sibling)!;
    const key = keyText(sibling, cells);
    const number = key === null ? undefined : numbers.get(key);
    if (unreadable && (unreadable.matchesAny || number === UNREADABLE))
      return Promise.reject(absentCells(unreadable.change));
    const found = number === undefined || number < FIRST_ROW ? null : rows[number - FIRST_ROW]!;
    return Promise.resolve(found);
  }

  async #note(index: Index, change: Change, after: Row): Promise<void> {
    // The known cells exclude most rows before anything is read from the source.
    if (index.keyOf(change, after) === null) return;
    const image = await this.#complete(change, after, index.cellsOf(change));
    const key = index.keyOf(change, image);
    if (key === null) return;
    if (key === undefined) {
      index.unreadable = { change, matchesAny: true };
      return;
    }
    const row = selectedCells(index.sibling, change, image);
    if (row.includes(undefined)) {
      index.unreadable ??= { change, matchesAny: false };
      if (index.numbers.get(key) !== DIFFERENT) index.numbers.set(key, UNREADABLE);
      return;
    }
    const number = FIRST_ROW + placeOf(index, row);
    const known = index.numbers.get(key);
    if (known === undefined) index.numbers.set(key, number);
    else if (known !== number && known !== UNREADABLE) index.numbers.set(key, DIFFERENT);
  }

  async #complete(change: Change, image: Row, cells: readonly number[]): Promise<Row> {
    if (cells.every((at) => image[at] !== undefined)) return image;
    const row = await this.#reread?.(change);
    return row ? image.map((cell, at) => (cell === undefined ? row[at] : cell)) : image;
  }
}

/** `Siblings` for a transaction whose changes are all present: they are added when the first rule calls `find`. */
export function siblingsAmong(
  changes: readonly Change[],
  siblings: readonly Sibling[],
  { reread }: Pick<MapContext, 'reread'>,
): Pick<Siblings, 'find'> {
  const rows = new SiblingRows(siblings, reread);
  let added: Promise<void> | undefined;
  return {
    async find(sibling, cells) {
      await (added ??= rows.add(changes));
      return rows.find(sibling, cells);
    },
  };
}

/** All siblings that the rules look for. */
export function siblingsOf(rules: readonly Rule[]): Sibling[] {
  const within = (source: Source): Sibling[] => {
    switch (source.kind) {
      case 'sibling':
        return [source.sibling];
      case 'first':
        return source.sources.flatMap(within);
      case 'translate':
        return within(source.source);
      default:
        return [];
    }
  };
  return rules.flatMap(({ subject, data }) =>
    [...(subject ? [subject] : []), ...data.map(({ source }) => source)].flatMap(within),
  );
}

function createIndex(sibling: Sibling): Index {
  const { by, where, layout } = sibling;
  const tests = where.map(({ column, values }) => ({
    column,
    matches: compileMatch(column.kind, { listed: values, negated: false }),
  }));
  return {
    sibling,
    keyOf(change, image) {
      let isKnown = true;
      for (const { column, matches } of tests) {
        const cell = cellOf(change, image, column.name);
        if (cell === undefined) isKnown = false;
        else if (matches(cell, image) !== true) return null;
      }
      const cells = by.map(({ column }) => cellOf(change, image, column.name));
      if (cells.includes(null)) return null;
      return isKnown && !cells.includes(undefined) ? keyText(sibling, cells) : undefined;
    },
    cellsOf: ({ table }) =>
      [...by.map(({ column }) => column), ...where.map(({ column }) => column), ...layout.columns].flatMap(
        ({ name }) => table.indexOf.get(name.toLowerCase()) ?? [],
      ),
    numbers: new KeyNumbers(),
    rows: [],
    places: new Map(),
    unreadable: null,
  };
}

/** If the table did not have the column when the row was written, the cell is NULL. */
function cellOf({ table }: Change, image: Row, name: string): Cell {
  const at = table.indexOf.get(name.toLowerCase());
  return at === undefined ? null : image[at];
}

function selectedCells({ layout }: Sibling, change: Change, image: Row): Row {
  return layout.columns.map(({ name }) => cellOf(change, image, name));
}

/** Null if a cell is NULL, which equals nothing. Numbers are compared by value, also with text that contains a number. */
function keyText({ by }: Sibling, cells: readonly Cell[]): string | null {
  const parts: string[] = [];
  for (const [index, { column, equals }] of by.entries()) {
    const cell = cells[index];
    if (cell === null || cell === undefined) return null;
    const isNumber = isNumeric(column.kind) || isNumeric(equals.column.kind);
    const text = cellText(cell);
    parts.push(isNumber ? canonicalLiteral('decimal', text) : text);
  }
  return parts.join('\0');
}

function placeOf({ rows, places }: Index, row: Row): number {
  const text = JSON.stringify(row.map((cell) => (cell instanceof Uint8Array ? [cellText(cell)] : cell)));
  let place = places.get(text);
  if (place === undefined) {
    place = rows.push(row) - 1;
    places.set(text, place);
  }
  return place;
}

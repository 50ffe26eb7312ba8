import type { Cell, ColumnKind, Row, SourceColumn, TableSchema } from '../../binlog/types.ts';
import type { ClinicZone } from '../../change/clinic-zone.ts';
import { quoteJson } from '../../lib/exact-json.ts';
import { sameCell } from '../../change/net-changes.ts';
import { isZeroDate, jsonText } from '../../change/values.ts';
import { indexOf, type RowContext } from './condition.ts';
import type { RowLookup } from './lookup-rows.ts';
import { jsonPath } from './json-path.ts';
import { canonicalLiteral, type Scalar } from './match.ts';
import type { Field, Find, Sibling, Source } from '../rule/rule.ts';
import type { Siblings } from '../types.ts';

/** Values shared by all events of one transaction. */
export interface Run {
  /** ISO 8601 in UTC. */
  commitTime: string;
  find: RowLookup;
  siblings: Pick<Siblings, 'find'>;
}

/** JSON text; undefined if it depends on a cell that the row images lack. */
type Text = string | undefined;

/** Reads a value of the payload, as JSON text, from a row's change. `asks`: it may have to query the source. */
export type Reader =
  | { asks: false; read(scope: RowContext, run: Run): Text }
  | { asks: true; read(scope: RowContext, run: Run): Promise<Text> };

/** The context for compiling sources: the layout of the rows, and the clinic's zone. */
export interface Binding {
  layout: TableSchema;
  zone: ClinicZone;
}

/** Compiles a source for rows of a layout. */
export function compileSource(source: Source, binding: Binding): Reader {
  switch (source.kind) {
    case 'nothing':
      return constant('null');
    case 'literal':
      return constant(JSON.stringify(source.value));
    case 'commit-time':
      return { asks: false, read: (_scope, run) => `"${run.commitTime}"` };
    case 'column':
      return bindColumn(source, binding);
    case 'changed':
      return bindChanged(source.columns, binding);
    case 'part':
      return bindPart(source, binding);
    case 'minus':
      return bindMinus(source.column, binding);
    case 'translate':
      return bindTranslate(source.words, compileSource(source.source, binding));
    case 'first':
      return bindFirst(source.sources.map((each) => compileSource(each, binding)));
    case 'fields':
      return compileFields(source.fields, binding);
    case 'find':
      return bindFind(source.find, binding);
    case 'sibling':
      return bindSibling(source.sibling, binding);
  }
}

const constant = (text: string): Reader => ({ asks: false, read: () => text });

/** A cell of the row's last image (after, otherwise before), or with `old` of the image before; undefined if the images lack it. */
export function compileCell(column: string, old: boolean, layout: TableSchema): (scope: RowContext) => Cell {
  const index = indexOf(layout, column);
  if (index < 0) return () => null;
  if (old) return ({ before }) => (before ? before[index] : null);
  return ({ before, after }) => (after ?? before)?.[index];
}

const kindOf = (column: string, layout: TableSchema): ColumnKind =>
  layout.columns[indexOf(layout, column)]?.kind ?? 'text';

function bindColumn(
  { column, old, path }: Extract<Source, { kind: 'column' }>,
  { layout, zone }: Binding,
): Extract<Reader, { asks: false }> {
  const name = column.name.toLowerCase();
  const cellOf = compileCell(name, old, layout);
  const toText = path.length > 0 ? jsonPath(path) : jsonText(kindOf(name, layout), zone);
  return {
    asks: false,
    read: (scope) => {
      const cell = cellOf(scope);
      return cell === undefined ? undefined : toText(cell);
    },
  };
}

function bindChanged(names: readonly { name: string }[], { layout, zone }: Binding): Reader {
  const columns = names.flatMap(({ name }) => {
    const index = indexOf(layout, name.toLowerCase());
    return index < 0
      ? []
      : [{ name: quoteJson(name), index, toText: jsonText(layout.columns[index]!.kind, zone) }];
  });
  return {
    asks: false,
    read: ({ before, after }) => {
      const changed: string[] = [];
      for (const { name, index, toText } of columns) {
        const old = before ? before[index] : null;
        const now = after ? after[index] : null;
        if (old === undefined && now === undefined) continue;
        if (old === undefined || now === undefined) return undefined;
        if (!sameCell(old, now)) changed.push(`${name}:{"old":${toText(old)},"new":${toText(now)}}`);
      }
      return `{${changed.join(',')}}`;
    },
  };
}

/** The date or time of day in the clinic's zone; a TIMESTAMP, which is an instant, is converted to that zone. */
function bindPart({ part, column }: Extract<Source, { kind: 'part' }>, { layout, zone }: Binding): Reader {
  const name = column.name.toLowerCase();
  const cellOf = compileCell(name, false, layout);
  const kind = kindOf(name, layout);
  return {
    asks: false,
    read: (scope) => {
      const cell = cellOf(scope);
      if (cell === undefined) return undefined;
      if (typeof cell !== 'string' || isZeroDate(cell)) return 'null';
      if (kind === part) return `"${cell}"`;
      const local = kind === 'timestamp' ? zone.toLocal(cell) : cell;
      return part === 'date' ? `"${local.slice(0, 10)}"` : `"${local.slice(11)}"`;
    },
  };
}

/** Keeps all digits, in the form of the column itself; beyond 2^53 an integer is text. */
function bindMinus(column: SourceColumn, binding: Binding): Reader {
  const reader = bindColumn({ kind: 'column', column, old: false, path: [] }, binding);
  return {
    asks: false,
    read: (scope, run) => {
      const text = reader.read(scope, run);
      if (text === undefined || text === 'null') return text;
      const [, quote, sign, digits] = /^("?)(-?)(.*)$/.exec(text)!;
      return `${quote}${sign === '-' || /^[0.]*"?$/.test(digits!) ? '' : '-'}${digits}`;
    },
  };
}

function bindTranslate(words: ReadonlyMap<string, Scalar>, reader: Reader): Reader {
  const texts = new Map([...words].map(([code, word]) => [code, JSON.stringify(word)]));
  const translate = (text: Text): Text => {
    if (text === undefined) return undefined;
    const code = text.startsWith('"') ? (JSON.parse(text) as string) : text;
    return texts.get(canonicalLiteral('text', code)) ?? text;
  };
  if (!reader.asks) return { asks: false, read: (scope, run) => translate(reader.read(scope, run)) };
  return { asks: true, read: async (scope, run) => translate(await reader.read(scope, run)) };
}

function bindFirst(readers: readonly Reader[]): Reader {
  const immediate = readers.filter((reader) => !reader.asks);
  if (immediate.length === readers.length) {
    return {
      asks: false,
      read: (scope, run) => {
        for (const { read } of immediate) {
          const text = read(scope, run);
          if (text !== 'null') return text;
        }
        return 'null';
      },
    };
  }
  return {
    asks: true,
    read: async (scope, run) => {
      for (const { read } of readers) {
        const text = await read(scope, run);
        if (text !== 'null') return text;
      }
      return 'null';
    },
  };
}

/** Compiles several named values into one object, in their order. */
export function compileFields(fields: readonly Field[], binding: Binding): Reader {
  const named = fields.map(({ name, source }, index) => ({
    label: `${index === 0 ? '' : ','}${quoteJson(name)}:`,
    reader: compileSource(source, binding),
  }));
  const immediate = named.flatMap(({ label, reader }) => (reader.asks ? [] : { label, reader }));
  if (immediate.length === named.length) {
    return {
      asks: false,
      read(scope, run) {
        let text = '{';
        for (const { label, reader } of immediate) {
          const value = reader.read(scope, run);
          if (value === undefined) return undefined;
          text += label + value;
        }
        return `${text}}`;
      },
    };
  }
  return {
    asks: true,
    async read(scope, run) {
      const values = await Promise.all(named.map(async ({ reader }) => reader.read(scope, run)));
      if (values.includes(undefined)) return undefined;
      return `{${named.map(({ label }, index) => `${label}${values[index]}`).join('')}}`;
    },
  };
}

function bindFind(find: Find, { layout, zone }: Binding): Reader {
  const select = compileSource(find.select, { layout: find.layout, zone });
  const rowsOf = bindQuestion(find, layout);
  return {
    asks: true,
    read: async (scope, run) => {
      const rows = await rowsOf(scope, run);
      if (rows === undefined) return undefined;
      const found = await Promise.all(rows.map(async (row) => select.read(foundRow(row, scope), run)));
      return find.many ? `[${found.join(',')}]` : (found[0] ?? 'null');
    },
  };
}

function bindSibling(sibling: Sibling, { layout, zone }: Binding): Reader {
  const select = compileSource(sibling.select, { layout: sibling.layout, zone });
  const cellsOf = sibling.by.map(({ equals: { column, old } }) =>
    compileCell(column.name.toLowerCase(), old, layout),
  );
  return {
    asks: true,
    read: async (scope, run) => {
      const cells = cellsOf.map((cellOf) => cellOf(scope));
      if (cells.includes(undefined)) return undefined;
      const row = await run.siblings.find(sibling, cells);
      return row ? select.read({ op: 'update', before: null, after: row }, run) : 'null';
    },
  };
}

/** The rows that a look-up finds for a row's change; undefined if the images lack a cell of its key. */
function bindQuestion(
  find: Find,
  layout: TableSchema,
): (scope: RowContext, run: Run) => Promise<readonly Row[] | undefined> {
  const by = find.by.map(({ column, equals }) => {
    if (!('column' in equals)) return { column, cellOf: () => equals.value };
    return { column, cellOf: compileCell(equals.column.name.toLowerCase(), equals.old, layout) };
  });
  return async (scope, run) => {
    const values: Record<string, string | number> = {};
    for (const { column, cellOf } of by) {
      const cell = cellOf(scope);
      if (cell === undefined) return undefined;
      // No row has a key that is NULL; the compiler of rules refuses a binary key.
      if (cell === null || typeof cell === 'object') return [];
      values[column] = cell;
    }
    return run.find(find, values, scope);
  };
}

/** The cell at the end of a chain of look-ups, unconverted; undefined if it depends on an absent cell. */
export function compileLookedUpCell(
  source: Source,
  layout: TableSchema,
): (scope: RowContext, run: Run) => Promise<Cell> {
  if (source.kind === 'column') {
    const cellOf = compileCell(source.column.name.toLowerCase(), source.old, layout);
    return (scope) => Promise.resolve(cellOf(scope));
  }
  if (source.kind !== 'find') return () => Promise.resolve(null);
  const rowsOf = bindQuestion(source.find, layout);
  const select = compileLookedUpCell(source.find.select, source.find.layout);
  return async (scope, run) => {
    const rows = await rowsOf(scope, run);
    if (rows === undefined) return undefined;
    return rows[0] ? select(foundRow(rows[0], scope), run) : null;
  };
}

/**
 * Presents a found row to the sources over its columns. It is a deleted row if the change is a delete, so that its own look-ups find
 * deleted rows.
 */
function foundRow(row: Row, { op }: RowContext): RowContext {
  return op === 'delete' ? { op, before: row, after: null } : { op: 'update', before: null, after: row };
}

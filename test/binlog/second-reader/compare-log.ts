import { readDictionary } from '../../../src/binlog/source/dictionary.ts';
import type { ComparisonJob } from '../../../src/binlog/second-reader/compare-with-zongji.ts';
import { RangeRecorder } from '../../../src/binlog/second-reader/range-recorder.ts';
import { toJob } from '../../../src/binlog/second-reader/to-job.ts';
import { openSource } from '../../../src/binlog/source/source.ts';
import type { TableHints } from '../../../src/binlog/decode/table-map.ts';
import type { Cell, Flavour, Position, RowEvent } from '../../../src/binlog/types.ts';
import { parseDatabaseUrl } from '../../../src/db/connection/database-url.ts';
import { openReader } from '../../support/read-log.ts';
import type { TestSchema } from '../../support/server.ts';

interface Range {
  flavour: Flavour;
  schema: TestSchema;
  position: Position;
  /** Watched rows to read. */
  rows: number;
}

/** What our reader gives of all tables of the schema from a position on, as a job for the second reader. */
export async function recordLog({ flavour, schema, position, rows }: Range): Promise<ComparisonJob> {
  const url = parseDatabaseUrl(schema.url());
  const source = openSource(url);
  const dictionary = await readDictionary(source, await source.identify());
  const { tables } = dictionary;
  await source.close();
  const watch = Object.fromEntries(
    [...tables.values()].map(({ name, columns }) => [name, columns.map((each) => each.name.toLowerCase())]),
  );
  const hints: Record<string, TableHints> = Object.fromEntries(
    [...tables.values()].map((table) => [
      table.name,
      {
        types: new Map(
          table.columns.flatMap(({ name, type, kind }): [string, 'uuid' | 'inet4' | 'inet6' | 'json'][] =>
            kind === 'json' || type === 'uuid' || type === 'inet4' || type === 'inet6'
              ? [[name.toLowerCase(), kind === 'json' ? 'json' : (type as 'uuid')]]
              : [],
          ),
        ),
        fractions: new Map(),
        plainColumns: table.rowEnd === null ? new Set(table.columnOf.keys()) : null,
      },
    ]),
  );
  const stream = await openReader({ flavour, schema, watch, hints, position });
  const recorder = new RangeRecorder(position, { rows, bytes: 256 * 1024 * 1024 });
  while (!recorder.isFull) for (const part of await stream.take()) recorder.add(part);
  stream.close();
  return toJob(recorder, { url, dictionary, tables: dictionary.tables.keys(), foldsNames: false });
}

/** The same job with every cell of a column that is there as `change` gives it: a fault of our reader. */
export function withFault(
  job: ComparisonJob,
  column: string,
  change: (cell: Cell, row: RowEvent) => Cell,
): ComparisonJob {
  const alter = (event: RowEvent): RowEvent => {
    const index = event.table.columns.findIndex(({ name }) => name === column);
    const image = (row: RowEvent['after']): RowEvent['after'] =>
      row &&
      row.map((cell, i) => (i === index && cell !== null && cell !== undefined ? change(cell, event) : cell));
    return { ...event, before: image(event.before), after: image(event.after) };
  };
  return {
    ...job,
    transactions: job.transactions.map((each) => ({ ...each, rows: each.rows.map(alter) })),
  };
}

import { randomInt, randomUUID } from 'node:crypto';
import { readCharsets } from '../../src/binlog/source/dictionary.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import type { TableHints } from '../../src/binlog/decode/table-map.ts';
import { openStream, type BinlogStream, type StreamOptions } from '../../src/binlog/stream.ts';
import type { Baseline, Cell, Position, RowEvent, TransactionPart } from '../../src/binlog/types.ts';
import { parseDatabaseUrl, type DatabaseUrl } from '../../src/db/connection/database-url.ts';
import type { Flavour } from '../../src/demo/server-binaries.ts';
import type { TestSchema } from './server.ts';

/** Columns by table; `true` reads every column that the test names through `columns`. */
export interface ReadOptions {
  flavour: Flavour;
  schema: TestSchema;
  /** Table → columns to read. */
  watch: Record<string, string[]>;
  hints?: Record<string, TableHints>;
  position?: Position;
  waived?: string[];
  time?: NonNullable<StreamOptions['time']>;
  ownSchema?: string;
  serverUuid?: string;
  byFile?: boolean;
  baseline?: Baseline;
  bufferBytes?: number;
  heartbeatMs?: number;
  heldBackMs?: number;
  endsWithLog?: boolean;
  parents?: NonNullable<StreamOptions['parents']>;
  onUnreadable?: NonNullable<StreamOptions['onUnreadable']>;
  /** Default: a unique one. */
  identity?: Pick<StreamOptions, 'serverId' | 'replicaUuid'>;
  url?: string;
}

/** The current end of the server's binlog. */
export async function endOfLog(flavour: Flavour, schema: TestSchema): Promise<Position> {
  const [status] = await schema.query(flavour === 'mysql' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS');
  const [state] = await schema.query(
    flavour === 'mysql'
      ? "SELECT IF(@@gtid_mode = 'ON', REPLACE(@@gtid_executed, '\n', ''), NULL) AS gtid"
      : 'SELECT @@gtid_binlog_pos AS gtid',
  );
  return {
    gtid: state!['gtid'] as string | null,
    file: status!['File'] as string,
    offset: Number(status!['Position']),
  };
}

/** Opens one of our readers on a test schema, by default at the end of the binlog. */
export async function openReader(options: ReadOptions): Promise<BinlogStream> {
  const { flavour, schema, watch, hints = {} } = options;
  const url = parseDatabaseUrl(options.url ?? schema.url());
  const charsets = await charsetsOf(parseDatabaseUrl(schema.url()));
  const watched = new Map(Object.entries(watch).map(([table, columns]) => [table, new Set(columns)]));
  const streamOptions: StreamOptions = {
    url,
    flavour,
    position: options.position ?? (await endOfLog(flavour, schema)),
    // A source evicts a reader when another connects with the same server id or uuid, and test files run in parallel.
    serverId: randomInt(100_000, 4_000_000_000),
    replicaUuid: randomUUID(),
    ...options.identity,
    heartbeatMs: options.heartbeatMs ?? 1_000,
    bufferBytes: options.bufferBytes ?? 64 * 1024 * 1024,
    ...(options.time && { time: options.time }),
    ...(options.byFile === undefined ? {} : { byFile: options.byFile }),
    ...(options.ownSchema !== undefined && { ownSchema: options.ownSchema }),
    ...(options.serverUuid !== undefined && { serverUuid: options.serverUuid }),
    ...(options.endsWithLog === undefined ? {} : { endsWithLog: options.endsWithLog }),
    ...(options.heldBackMs === undefined ? {} : { heldBackMs: options.heldBackMs }),
    ...(options.parents === undefined ? {} : { parents: options.parents }),
    ...(options.onUnreadable && { onUnreadable: options.onUnreadable }),
    charsetOf: (collation) => charsets.get(collation),
    columnsOf: (database, table) => (database === schema.name ? watched.get(table) : undefined),
    hintsOf: (table) => hints[table],
    isWatchedSchema: (name) => name === schema.name,
    watchedTables: () => watched.keys(),
    waived: new Set(options.waived ?? []),
    baseline: options.baseline ?? {},
  };
  return openStream(streamOptions);
}

/** The character sets by collation id, read as the daemon reads them. */
async function charsetsOf(url: DatabaseUrl): Promise<ReadonlyMap<number, string>> {
  const source = openSource(url);
  try {
    return await readCharsets(source, await source.identify());
  } finally {
    await source.close();
  }
}

/** Takes parts until `count` watched rows have arrived. */
export async function takeRows(stream: BinlogStream, count: number): Promise<RowEvent[]> {
  const rows: RowEvent[] = [];
  while (rows.length < count) for (const part of await stream.take()) rows.push(...part.rows);
  return rows;
}

/** Takes parts until a part satisfies the condition; returns all of them. */
export async function takeUntil(
  stream: BinlogStream,
  done: (part: TransactionPart) => boolean,
): Promise<TransactionPart[]> {
  const parts: TransactionPart[] = [];
  for (;;) {
    for (const part of await stream.take()) {
      parts.push(part);
      if (done(part)) return parts;
    }
  }
}

/** A row image by column name. */
export function byName(event: RowEvent, image: 'before' | 'after'): Record<string, Cell> {
  return Object.fromEntries(event.table.columns.map((column, i) => [column.name, event[image]![i]]));
}

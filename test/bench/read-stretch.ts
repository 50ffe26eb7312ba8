import { randomInt, randomUUID } from 'node:crypto';
import ZongJi from '@vlasky/zongji';
import { openSource } from '../../src/binlog/source/source.ts';
import { openStream } from '../../src/binlog/stream.ts';
import type { Config } from '../../src/config/types.ts';
import { capture, type CaptureOptions } from '../../src/capture/capture.ts';
import { lookupsOf, readCompiledSource, readingOf } from '../../src/capture/compiled-source.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import type { Appender } from '../../src/outbox/append/append.ts';
import { createRouter, type Router } from '../../src/outbox/append/fan-out.ts';
import type { Checkpoint } from '../../src/outbox/types.ts';
import type { Stretch } from './clinic-log.ts';

export interface ReadByCapture {
  appender: Appender;
  route?: Router;
  /** Called after every append; returns true at the end. */
  isDone(events: number): boolean;
}

/** Reads a stretch as the daemon does, into an appender. Returns the time it took, ms, connecting included. */
export async function readWithCapture(
  stretch: Stretch,
  { appender, route = createRouter([]), isDone }: ReadByCapture,
): Promise<number> {
  const url = parseDatabaseUrl(stretch.url);
  const source = openSource(url);
  const config = {
    rulesFile: null,
    source: { timezone: 'America/Santo_Domingo' },
    store: { url },
  } as unknown as Config;
  const clinic = await readCompiledSource(source, config, { filterNames: new Set() });
  const startedMs = performance.now();
  const stream = await openStream({
    ...readingOf(clinic),
    url,
    position: stretch.from,
    serverId: randomInt(100_000, 4_000_000_000),
    replicaUuid: randomUUID(),
    heartbeatMs: 5_000,
    bufferBytes: 64 * 2 ** 20,
    waived: new Set(),
    baseline: {},
  });
  let elapsedMs = 0;
  const options: CaptureOptions = {
    appender,
    mapping: () => ({ rules: clinic.rules, route, webhooks: [] }),
    lookups: () => lookupsOf(source, clinic, () => undefined),
    resubscribe: () => Promise.resolve(),
    room: () => ({ total: 0, of: () => 0 }),
    dispatch: () => undefined,
    baseline: {},
    place: stretch.from,
    serverUuid: clinic.identity.serverUuid,
    onMoved: () => undefined,
    live: { clinic, end: undefined },
    redefine: () => Promise.resolve({ clinic, end: undefined }),
    cascades: { follow: () => Promise.resolve(false), reach: () => null, eventsOf: () => [] },
    onAppended({ events }) {
      if (!isDone(events)) return;
      elapsedMs = performance.now() - startedMs;
      stream.close();
    },
  };
  const checkpoint: Checkpoint = {
    lineage: 'bench',
    flavour: clinic.identity.flavour,
    serverUuid: clinic.identity.serverUuid,
    position: stretch.from,
    committedAtMs: null,
    passedMs: null,
  };
  await capture(stream, checkpoint, options);
  await source.close();
  return elapsedMs;
}

/** The tables of the built-in catalogue: zongji decodes the tables that we watch. */
const watchedTables = [
  'patients',
  'appointments',
  'payments',
  'budgets',
  'medical_records',
  'consents',
  'inventory',
  'audit_logs',
];

interface ZongjiEvent {
  getTypeName(): string;
  rows?: Record<string, unknown>[];
}

export interface ZongjiOptions {
  url: string;
  schema: string;
  /** Position at which it begins; by default the end of the binlog. */
  from?: { file: string; offset: number };
  onRow(row: Record<string, unknown>): void;
  onError(error: unknown): void;
}

/** Bare zongji over the watched tables, with the options for correct values. Resolves when it reads; returns the function that stops it. */
export async function startZongji({ url, schema, from, onRow, onError }: ZongjiOptions): Promise<() => void> {
  const { hostname, port, username } = new URL(url);
  const zongji = new ZongJi({
    host: hostname,
    port: Number(port),
    user: username,
    dateStrings: true,
    timezone: 'Z',
    charset: 'utf8mb4',
  });
  const ready = Promise.withResolvers<undefined>();
  zongji.on('ready', () => ready.resolve(undefined));
  zongji.on('error', (error: unknown) => {
    ready.reject(error);
    onError(error);
  });
  zongji.on('binlog', (event: unknown) => {
    for (const row of (event as ZongjiEvent).rows ?? []) onRow(row);
  });
  zongji.start({
    serverId: randomInt(100_000, 4_000_000_000),
    ...(from === undefined ? { startAtEnd: true } : { filename: from.file, position: from.offset }),
    includeSchema: { [schema]: watchedTables },
    includeEvents: ['tablemap', 'writerows', 'updaterows', 'deleterows'],
  });
  await ready.promise;
  return () => zongji.stop();
}

/** Reads a stretch with bare zongji. Returns the time it took, ms, and the rows that it decoded. */
export async function readWithZongji(stretch: Stretch): Promise<{ elapsedMs: number; rows: number }> {
  const end = Promise.withResolvers<undefined>();
  const startedMs = performance.now();
  let rows = 0;
  const stop = await startZongji({
    url: stretch.url,
    schema: stretch.schema,
    from: stretch.from,
    onRow() {
      rows += 1;
      if (rows === stretch.rows) end.resolve(undefined);
    },
    onError: (error) => end.reject(error),
  });
  await end.promise;
  const elapsedMs = performance.now() - startedMs;
  stop();
  return { elapsedMs, rows };
}

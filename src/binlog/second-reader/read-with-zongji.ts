import { randomUUID } from 'node:crypto';
import ZongJi from '@vlasky/zongji';
import { toConnectionTarget, type DatabaseUrl } from '../../db/connection/database-url.ts';
import type { LogPlace } from '../types.ts';
import { Gathering, type GatheringOptions, type ZongjiEvent, type ZongjiInternals } from './gathering.ts';
import type { Trouble } from './zongji-log.ts';

const HEARTBEAT_MS = 500;
export interface ReadingOptions extends GatheringOptions {
  url: DatabaseUrl;
  /** Must not be the id of another reader. */
  serverId: number;
  /** The end of a transaction, or the beginning of a file (offset 4). */
  from: LogPlace;
  /** Names of tables by schema, in every spelling that may occur in the log. */
  tables: Readonly<Record<string, string[]>>;
}

/** `reached`: everything up to `until` was read. `refused`: a connection failed. `closed`: `close` was called first. */
export type ReadingEnd = 'reached' | 'refused' | 'closed';

export interface Reading {
  /** Never rejects. */
  readonly end: Promise<ReadingEnd>;
  close(): void;
}

/**
 * Reads a range of the log with zongji. At the end of a quiet log, heartbeats show that `until` is reached. The stream does not end on
 * its own: a server that closed it during zongji's dictionary query about a table made zongji lose the events that had arrived. A
 * frozen connection stays silent forever, so the caller sets a time limit.
 *
 * zongji reports what it cannot read outside the stream, as an `error`, or as an event without rows, and then continues: such a
 * transaction is returned with its trouble.
 */
export function readWithZongji(options: ReadingOptions): Reading {
  const { promise, resolve } = Promise.withResolvers<ReadingEnd>();
  const zongji = new ZongJi({
    ...toConnectionTarget(options.url),
    charset: 'utf8mb4',
    connectTimeout: 10_000,
    dateStrings: true,
    timezone: 'Z',
    jsonStrings: true,
    supportBigNumbers: true,
  });
  let ended = false;
  const finish = (how: ReadingEnd): void => {
    if (ended) return;
    ended = true;
    zongji.removeAllListeners('binlog');
    zongji.stop();
    resolve(how);
  };
  const gathering = new Gathering(options, zongji as unknown as ZongjiInternals, () => finish('reached'));
  zongji.on('error', (error: unknown) => {
    if (isOfConnection(error)) finish('refused');
    else gathering.poison(troubleOf(error));
  });
  zongji.on('binlog', (event) => gathering.take(event as unknown as ZongjiEvent));
  zongji.on('ready', () => {
    // zongji queues its dump as soon as this handler returns, after these statements.
    for (const statement of sessionSettings())
      (zongji as unknown as ZongjiInternals).connection?.query(
        statement,
        (error) => error && finish('refused'),
      );
  });
  zongji.start({
    serverId: options.serverId,
    filename: options.from.file,
    position: options.from.offset,
    includeSchema: options.tables,
    includeEvents: [
      'tablemap',
      'writerows',
      'updaterows',
      'deleterows',
      'query',
      'xid',
      'xaprepare',
      'transactionpayload',
      'partialupdaterows',
      'heartbeat',
    ],
  });
  return { end: promise, close: () => finish('closed') };
}

function sessionSettings(): string[] {
  const uuid = randomUUID();
  return ['master', 'source'].map(
    (role) =>
      `SET @${role}_heartbeat_period = ${HEARTBEAT_MS * 1_000_000}, ` +
      `@${role === 'master' ? 'slave' : 'replica'}_uuid = '${uuid}'`,
  );
}

/** Classifies zongji's error messages about data that it cannot read. */
function troubleOf(error: unknown): Trouble {
  const text = error instanceof Error ? error.message : '';
  if (text.startsWith('Unsupported type')) return 'unsupported-type';
  if (/^JSON (Opaque )?Type Not Implemented/.test(text)) return 'json-value';
  return 'zongji-error';
}

/** mysql2's connection errors have these properties; zongji's decoding errors do not. */
function isOfConnection(error: unknown): boolean {
  return error instanceof Error && ('fatal' in error || 'sqlState' in error || 'syscall' in error);
}

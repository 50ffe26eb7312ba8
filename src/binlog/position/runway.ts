import { systemClock, type Clock } from '../../lib/clock.ts';
import { listLogFiles, readFileCreatedAt, type LogFile } from '../source/log-file.ts';
import type { Source } from '../source/source.ts';
import type { Position } from '../types.ts';

/** How long reading may stop before the log at a position is purged. */
export interface Runway {
  /** Minimum time until the file at the position may be purged, ms; 0 when it is due; null when the server never purges its log. */
  untilPurgeMs: number | null;
  /** How long the server keeps a finished file, ms; null: without limit. */
  retentionMs: number | null;
  /** Bytes of unread log after the position. */
  behindBytes: number;
  /** Bytes of the server's whole log. */
  logBytes: number;
  /** Average growth over the available log; null when that spans less than a minute. */
  bytesPerSecond: number | null;
}

/** The limits at which a server purges its log. */
export interface LogLimits {
  /** Null: no limit. */
  retentionMs: number | null;
  /** MariaDB 11.4's max_binlog_total_size or Percona's binlog_space_limit; null without one. */
  maxBytes: number | null;
}

const limitNames = [
  'binlog_expire_logs_seconds',
  'binlog_expire_logs_auto_purge',
  'expire_logs_days',
  'max_binlog_total_size',
  'binlog_space_limit',
];

async function readLogLimits(source: Source): Promise<LogLimits> {
  const names = limitNames.map((name) => `'${name}'`).join(', ');
  const rows = await source.query(`SHOW GLOBAL VARIABLES WHERE Variable_name IN (${names})`);
  return toLogLimits(new Map(rows.map((row) => [String(row['Variable_name']), String(row['Value'])])));
}

export function toLogLimits(variables: ReadonlyMap<string, string>): LogLimits {
  const seconds = Number(variables.get('binlog_expire_logs_seconds') ?? 0);
  const days = Number(variables.get('expire_logs_days') ?? 0);
  const kept = seconds > 0 ? seconds : days * 86_400;
  const purges = kept > 0 && variables.get('binlog_expire_logs_auto_purge') !== 'OFF';
  const bytes = Number(variables.get('max_binlog_total_size') ?? variables.get('binlog_space_limit') ?? 0);
  return { retentionMs: purges ? kept * 1_000 : null, maxBytes: bytes > 0 ? bytes : null };
}

/**
 * Estimates the runway at a position. A file's age counts from its last change, which is when the next file was begun; a file is purged
 * by size when the log from that file on exceeds the limit. Needs REPLICATION CLIENT and REPLICATION SLAVE.
 */
export async function estimateRunway(
  source: Source,
  position: Position,
  clock: Clock = systemClock,
): Promise<Runway> {
  const [files, limits] = await Promise.all([listLogFiles(source), readLogLimits(source)]);
  const index = files.findIndex(({ name }) => name === position.file);
  const logBytes = total(files);
  const oldestAt = files[0] ? await readFileCreatedAt(source, files[0].name) : undefined;
  const ageSeconds = oldestAt === undefined ? 0 : clock.now() / 1_000 - oldestAt;
  const bytesPerSecond = ageSeconds >= 60 ? logBytes / ageSeconds : null;
  const next = index < 0 ? undefined : files[index + 1];
  const claimedAt = next ? await readFileCreatedAt(source, next.name) : undefined;
  // A session can set the time of a file that it begins. The server uses the file's own time, which is never in the future.
  const nowSeconds = clock.now() / 1_000;
  const finishedAt = claimedAt && Math.min(Math.max(claimedAt, oldestAt ?? 0), nowSeconds);
  const keptBytes = total(files.slice(Math.max(0, index)));
  return {
    untilPurgeMs:
      index < 0 ? 0 : untilPurge(limits, { finishedAt, bytesPerSecond, keptBytes, now: clock.now() }),
    retentionMs: limits.retentionMs,
    behindBytes: index < 0 ? logBytes : Math.max(0, keptBytes - position.offset),
    logBytes,
    bytesPerSecond,
  };
}

interface Growth {
  /** Seconds since 1970; undefined while the file is still written. */
  finishedAt: number | undefined;
  bytesPerSecond: number | null;
  /** Bytes from the file at the position on: the server purges the oldest files until the rest fits. */
  keptBytes: number;
  now: number;
}

function untilPurge({ retentionMs, maxBytes }: LogLimits, growth: Growth): number | null {
  const { finishedAt, bytesPerSecond, keptBytes, now } = growth;
  const byAge =
    retentionMs === null ? null : retentionMs - (finishedAt === undefined ? 0 : now - finishedAt * 1_000);
  const bySize =
    maxBytes === null || bytesPerSecond === null
      ? null
      : ((maxBytes - keptBytes) / Math.max(1, bytesPerSecond)) * 1_000;
  const first = [byAge, bySize].filter((ms) => ms !== null);
  return first.length === 0 ? null : Math.max(0, Math.round(Math.min(...first)));
}

function total(files: readonly LogFile[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

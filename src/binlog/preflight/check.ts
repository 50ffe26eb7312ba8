import type { Watch } from '../types.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Dictionary, DictionaryTable } from '../source/dictionary.ts';
import type { Checkpoint } from '../position/verdict.ts';
import type { LogStatus } from '../source/log-file.ts';
import { nameVersion } from '../source/server-version.ts';
import type { Source, SourceIdentity } from '../source/source.ts';

/** `skip`: could not be tested, or requires something that another finding reports missing. Never `pass` without a result. */
export type CheckLevel = 'pass' | 'warn' | 'fail' | 'skip';

export interface Finding {
  level: CheckLevel;
  /** One or two sentences. */
  detail: string;
  /** The remedy, ready to paste; absent when there is nothing to fix. */
  remedy?: string;
}

/** One test of the source. */
export interface Check {
  /** A stable word: `binlog-format`. */
  id: string;
  title: string;
  /** Null if the check does not apply to this server. */
  run(facts: Facts): Finding | null | Promise<Finding | null>;
}

/** A table that the rules read, as found on the source. */
export interface TableFacts {
  /** As the rules spell it. */
  wanted: string;
  /** Whether its changes are read from the log; otherwise rows are only looked up. */
  watched: boolean;
  /** The columns that the rules name. */
  columns: ReadonlySet<string>;
  access: 'ok' | 'denied' | 'missing';
  /** Missing columns of a readable table. */
  missingColumns: readonly string[];
  table: DictionaryTable | null;
}

/** Limits of the store's server. */
export interface StoreLimits {
  /** Its max_allowed_packet. */
  packetBytes: number;
  /** The GRANT that lets our sessions restrict the binlog to changed columns; omitted if they already can. */
  grantForLessLog?: string;
}

/** The server's answers, queried once for all checks. */
export interface Facts {
  source: Source;
  identity: SourceIdentity;
  dictionary: Dictionary;
  /** Global variables by name; unreadable ones are absent. */
  variables: ReadonlyMap<string, string>;
  /** How long RDS and Aurora keep the log beyond what backups need, from their configuration table; 'unknown' if it has no such setting. */
  rdsRetention: { hours: number | null } | 'denied' | 'unknown';
  log: { state: 'on'; status: LogStatus } | { state: 'off' } | { state: 'denied' };
  tables: readonly TableFacts[];
  /** Tables that the rules name and our user does not see: they do not exist, or nothing is granted on them. */
  unseen: readonly string[];
  mayReplicate: boolean;
  /** Our replication server id; null if none is assigned yet. */
  serverId: number | null;
  /** Whether our own reader is connected now; then a replica with our server id is expected. */
  readerRuns: boolean;
  checkpoint: Checkpoint | null;
  /** Tries once to write to the store; throws on failure. Null when the caller requests no such check. */
  probeStore: (() => Promise<StoreLimits>) | null;
  clock: Clock;
}

export const pass = (detail: string): Finding => ({ level: 'pass', detail });
export const skip = (detail: string): Finding => ({ level: 'skip', detail });
export const warn = (detail: string, remedy: string): Finding => ({ level: 'warn', detail, remedy });
export const fail = (detail: string, remedy: string): Finding => ({ level: 'fail', detail, remedy });

export const nothingThere = skip('None of the watched tables can be seen.');

/** Returns the watched tables that our user sees, including views. */
export function watchedTables({ tables }: Facts): DictionaryTable[] {
  return tables.flatMap(({ watched, table }) => (watched && table ? [table] : []));
}

export const unreadable = (facts: Facts, name: string): Finding =>
  skip(`${nameVersion(facts.identity.version)} does not show the variable ${name}.`);

export interface PreflightOptions {
  source: Source;
  /** Tables whose changes are read, with the columns that the rules name. */
  watch: Watch;
  /** Tables that are only looked up, with the columns that the rules name. */
  lookups?: Watch;
  /** All tables and columns that the rules name, whether the schema has them or not. */
  named?: Watch;
  /** The tables' names as the rules spell them; by default the names in `watch`. */
  spelled?: Iterable<string>;
  /** Our replication server id. */
  serverId?: number;
  /** Whether our own reader is connected now. */
  readerRuns?: boolean;
  checkpoint?: Checkpoint | null;
  /** Tries to write to the store; throws an AppError that describes the failure. */
  probeStore?: () => Promise<StoreLimits>;
  clock?: Clock;
}

import type { Watch } from '../types.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Dictionary, DictionaryTable } from '../source/dictionary.ts';
import type { Checkpoint } from '../position/verdict.ts';
import type { LogStatus } from '../source/log-file.ts';
import { nameVersion } from '../source/server-version.ts';
import type { Source, SourceIdentity } from '../source/source.ts';

/** `skip`: could not be asked, or needs what another line says is missing. Never `pass` without an answer. */
export type CheckLevel = 'pass' | 'warn' | 'fail' | 'skip';

export interface Finding {
  level: CheckLevel;
  /** One or two sentences. */
  detail: string;
  /** The remedy, ready to paste; absent when there is nothing to fix. */
  remedy?: string;
}

/** One question to the source, and what its answer means. */
export interface Check {
  /** A stable word: `binlog-format`. */
  id: string;
  title: string;
  /** null: the question does not arise on this server. */
  run(facts: Facts): Finding | null | Promise<Finding | null>;
}

/** A table that the rules read, as we found it. */
export interface TableFacts {
  /** As the rules spell it. */
  wanted: string;
  /** Whether its changes are read from the log; else it is only looked up. */
  watched: boolean;
  /** The columns that the rules name. */
  columns: ReadonlySet<string>;
  access: 'ok' | 'denied' | 'missing';
  /** Of a table that may be read: the columns that it does not have. */
  missingColumns: readonly string[];
  table: DictionaryTable | null;
}

/** What the server of the store allows. */
export interface StoreLimits {
  /** Its max_allowed_packet. */
  packetBytes: number;
  /** The GRANT with which our sessions could choose that the binlog has changed columns alone; left out where they can. */
  grantForLessLog?: string;
}

/** What the server said, asked once for all checks. */
export interface Facts {
  source: Source;
  identity: SourceIdentity;
  dictionary: Dictionary;
  /** Global variables by name; one that may not be read is not there. */
  variables: ReadonlyMap<string, string>;
  /** How RDS and Aurora keep the log beyond what backups need, as the table of their procedures says; 'unknown' where there is none to read. */
  rdsRetention: { hours: number | null } | 'denied' | 'unknown';
  log: { state: 'on'; status: LogStatus } | { state: 'off' } | { state: 'denied' };
  tables: readonly TableFacts[];
  /** Tables that the rules name and that our user does not see: they are not there, or nothing is granted on them. */
  unseen: readonly string[];
  mayReplicate: boolean;
  /** Our replication server id; null when there is none yet. */
  serverId: number | null;
  /** Whether a reader of ours is connected now, so that one of our id is as it should be. */
  readerRuns: boolean;
  checkpoint: Checkpoint | null;
  /** Tries to write to the store, once; throws what hinders it. Null when the caller asks for no such check. */
  probeStore: (() => Promise<StoreLimits>) | null;
  clock: Clock;
}

export const pass = (detail: string): Finding => ({ level: 'pass', detail });
export const skip = (detail: string): Finding => ({ level: 'skip', detail });
export const warn = (detail: string, remedy: string): Finding => ({ level: 'warn', detail, remedy });
export const fail = (detail: string, remedy: string): Finding => ({ level: 'fail', detail, remedy });

export const nothingThere = skip('None of the watched tables can be seen.');

/** The watched tables that our user sees, views among them. */
export function watchedTables({ tables }: Facts): DictionaryTable[] {
  return tables.flatMap(({ watched, table }) => (watched && table ? [table] : []));
}

export const unreadable = (facts: Facts, name: string): Finding =>
  skip(`${nameVersion(facts.identity.version)} does not show the variable ${name}.`);

export interface PreflightOptions {
  source: Source;
  /** Tables whose changes are read, with the columns that the rules name. */
  watch: Watch;
  /** Tables that are only looked up, likewise. */
  lookups?: Watch;
  /** All that the rules name, whether the schema has it or not. */
  named?: Watch;
  /** The tables' names as the rules spell them; without it, those of `watch`. */
  spelled?: Iterable<string>;
  /** Our replication server id. */
  serverId?: number;
  /** Whether a reader of ours is connected now. */
  readerRuns?: boolean;
  checkpoint?: Checkpoint | null;
  /** Tries to write to the store; throws an AppError that says what hinders it. */
  probeStore?: () => Promise<StoreLimits>;
  clock?: Clock;
}

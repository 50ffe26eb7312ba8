import { readDictionary } from '../../binlog/source/dictionary.ts';
import type { Halt, TimeSpan } from '../../binlog/halt.ts';
import { proveLineage } from '../../binlog/position/lineage.ts';
import { lineageHalt, spanUpTo, startOfReading, type BrokenLineage } from '../../binlog/position/verdict.ts';
import { findNextStart } from '../../binlog/position/next-start.ts';
import type { Difference } from '../../binlog/second-reader/compare/comparison.ts';
import { isSchemaMissing } from '../../binlog/source/missing-schema.ts';
import { droppedSchemaRemedy } from '../../binlog/remedy.ts';
import type { Source, SourceIdentity } from '../../binlog/source/source.ts';
import type { Baseline } from '../../binlog/types.ts';
import type { Config } from '../../config/types.ts';
import { AppError } from '../../lib/errors.ts';
import { readDifferences } from '../../outbox/decoder-record.ts';
import { readCaptureState } from '../../outbox/checkpoint.ts';
import type { CaptureState, Checkpoint } from '../../outbox/types.ts';
import { loadWebhooks } from '../../outbox/webhook/webhook-registry.ts';
import { filterNames, goneTables, readCompiledSource, type CompiledSource } from '../compiled-source.ts';
import { lineageName } from '../resume-position.ts';
import { acceptedTransactions, findCheckpointEdit } from './edited-checkpoint.ts';
import { askForLog, scanLog, type LogScan, type LogScanOptions } from './scan-log.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/** What resuming would lose, determined before the operator confirms. */
export type Gap = Interval | Transactions | Definition | Decoder | Edited;

interface Found {
  halt: Halt;
  /** The position of capture: the gap is accepted only while it is unchanged. */
  from: Checkpoint;
  epoch: number;
}

/** A part of the log is missing: the position moves past it. */
export interface Interval extends Found {
  kind: 'interval';
  to: Checkpoint;
  why: string;
}

/** One or several transactions cannot be read: they are skipped as a whole. */
export interface Transactions extends Found, Forgotten {
  kind: 'transaction';
  waived: readonly string[];
  /** The position up to which the log was read to find all of them. */
  scan: (LogScan & { span: TimeSpan }) | null;
}

/** A watched table was changed: it is read as it is now. */
export interface Definition extends Found, Forgotten {
  kind: 'definition';
}

/** Zongji reads columns differently: capture continues with our reading of them. */
export interface Decoder extends Found {
  kind: 'decoder';
  differences: readonly Difference[];
  baseline: Baseline;
}

/** SQL has edited the checkpoint: capture continues from where it stands now. */
export interface Edited extends Omit<Found, 'from'> {
  kind: 'edited';
  /** Null where SQL removed the position: capture begins as at a first run. */
  from: Checkpoint | null;
  /** The transactions to pass over that acts on record gave up. */
  waived: readonly string[];
}

interface Forgotten {
  /** Tables that were read and no longer exist: their rows are unknown. */
  gone: readonly string[];
  baseline: Baseline;
}

export interface Places extends EncryptedStore {
  source: Source;
  config: Config;
}

/**
 * Finds the changes that must be given up so that capture can resume: those at the first position that cannot be read or, with `untilMs`, all unreadable
 * transactions that were committed up to that time. Throws AppError ERR_NOT_HALTED when there is nothing to accept.
 */
export async function findGap(places: Places, untilMs?: number): Promise<Gap> {
  const { source, store } = places;
  const state = await readCaptureState(store);
  const { checkpoint: from, cleanStop, epoch, halt } = state;
  const edit = await findCheckpointEdit(places, state);
  if (edit)
    return { kind: 'edited', halt: edit, from, epoch, waived: await acceptedTransactions(places, state) };
  if (!from) throw notHalted('Nothing was captured yet.');
  const identity = await source.identify().catch((error: unknown) => {
    throw isSchemaMissing(error) ? withRemedyOf(error, halt, source.url) : error;
  });
  const lineage = await proveLineage(source, identity, {
    ...from,
    serverUuid: from.serverUuid ?? '',
    cleanStop,
  });
  if (lineage.kind !== 'ok') {
    const { position } = from;
    const gap = await intervalOf({ source, identity, kind: lineage.kind, from, epoch });
    const span = spanUpTo(lineage.span.fromMs, lineage.span.untilMs ?? gap.atMs);
    return { ...gap, halt: lineageHalt({ ...lineage, span }, position) };
  }
  if (!halt) throw notHalted('Capture is not halted: there is no gap to accept.');
  if (halt.reason === 'decoder-difference') {
    const differences = await readDifferences(store);
    return { kind: 'decoder', halt, from, epoch, differences, baseline: state.baseline };
  }
  const gone = await goneOf(halt, { source, identity, state });
  if (halt.reason === 'column-changed') return definitionAt(halt, from, { state, gone });
  const { transactionId } = halt;
  const start = { ...startOfReading(lineage, from.position), time: from };
  if (transactionId === null) return refusedAt(halt, from, { places, identity, state, start });
  const found = {
    kind: 'transaction',
    halt,
    from,
    epoch,
    gone,
    baseline: without(state.baseline, gone),
  } as const;
  if (untilMs === undefined) return { ...found, waived: [...state.waived, transactionId], scan: null };
  const scan = await scanLog(await scanOptionsOf(places, state, start), untilMs);
  // The transaction at which capture stands is given up in any case, even if it was committed after that time.
  const isFound = scan.unreadable.some((each) => each.transactionId === transactionId);
  const unreadable = isFound ? scan.unreadable : [halt, ...scan.unreadable];
  const waived = [...state.waived, ...unreadable.map((each) => each.transactionId!)];
  return { ...found, waived, scan: { ...scan, unreadable, span: spanOf(unreadable) } };
}

/** Without the schema no connection is possible: then a halt at its DROP is reported first. */
function withRemedyOf(error: AppError, halt: Halt | null, { database }: Source['url']): AppError {
  // The log may have the name in other letter case.
  if (halt?.remedy.toLowerCase() !== droppedSchemaRemedy(database).toLowerCase()) return error;
  return new AppError(error.code, error.message, { remedy: halt.remedy, cause: error.cause });
}

function definitionAt(
  halt: Halt,
  from: Checkpoint,
  { state: { baseline, epoch }, gone }: { state: CaptureState; gone: readonly string[] },
): Definition {
  return { kind: 'definition', halt, from, epoch, gone, baseline: without(baseline, [tableOf(halt)]) };
}

const tableOf = ({ table }: Halt): string | undefined => table?.split('.').at(-1)?.toLowerCase();

/** The table that a halt concerns, if it no longer exists. */
async function goneOf(
  halt: Halt,
  { source, identity, state }: { source: Source; identity: SourceIdentity; state: CaptureState },
): Promise<string[]> {
  if (halt.reason !== 'column-changed' && halt.reason !== 'truncate') return [];
  const { tables } = await readDictionary(source, identity);
  return goneTables({ tables }, state.baseline).filter((table) => table === tableOf(halt));
}

type ScanStart = Pick<LogScanOptions, 'position' | 'byFile' | 'time'>;

interface Refused {
  places: Places;
  identity: SourceIdentity;
  state: CaptureState;
  start: ScanStart;
}

/** The log seems to exist: only the server can tell whether it sends it. */
async function refusedAt(
  halt: Halt,
  from: Checkpoint,
  { places, identity, state, start }: Refused,
): Promise<Gap> {
  const refusal = await askForLog(await scanOptionsOf(places, state, start));
  if (!refusal) {
    throw notHalted(
      `The source sends its log from where capture stopped: there is no gap. It stopped because of this: ${halt.message} ` +
        'A running daemon tries again every 30 s, and resumes by itself.',
    );
  }
  const { source } = places;
  const kind = refusal.reason as BrokenLineage['kind'];
  const gap = await intervalOf({ source, identity, kind, from, epoch: state.epoch });
  return { ...gap, halt: { ...refusal, span: spanUpTo(from.committedAtMs, gap.atMs) } };
}

async function scanOptionsOf(
  { source, config, store, cipher }: Places,
  { waived, baseline }: CaptureState,
  start: ScanStart,
): Promise<LogScanOptions> {
  const { webhooks } = await loadWebhooks({ store, cipher });
  const names = filterNames(config.webhooks, webhooks);
  const readTables = (shown: Baseline): Promise<CompiledSource> =>
    readCompiledSource(source, config, { filterNames: names, baseline: shown });
  return { source, readTables, ...start, waived, baseline };
}

interface Break {
  source: Source;
  identity: SourceIdentity;
  kind: BrokenLineage['kind'];
  from: Checkpoint;
  epoch: number;
}

async function intervalOf({
  source,
  identity,
  kind,
  from,
  epoch,
}: Break): Promise<Omit<Interval, 'halt'> & { atMs: number | null }> {
  const checkpoint = { ...from, serverUuid: from.serverUuid ?? '' };
  const next = await findNextStart(source, identity, { kind, checkpoint });
  if (!next) throw new AppError('ERR_PREFLIGHT', 'The source writes no binary log.');
  const { position, sameHistory, why, atMs } = next;
  const to: Checkpoint = {
    // Another history may have the same numbers for other transactions: their events must not be treated as duplicates.
    lineage: sameHistory ? from.lineage : lineageName(identity, epoch + 1),
    flavour: identity.flavour,
    serverUuid: identity.serverUuid,
    position,
    committedAtMs: sameHistory ? from.committedAtMs : null,
    passedMs: sameHistory ? from.passedMs : null,
  };
  return { kind: 'interval', from, epoch, to, why, atMs };
}

/** The period from the first to the last given-up transaction. */
function spanOf(halts: readonly Halt[]): TimeSpan {
  const times = halts.flatMap(({ span }) => span.fromMs ?? []).toSorted((a, b) => a - b);
  return { fromMs: times[0] ?? null, untilMs: times.at(-1) ?? null };
}

function without(baseline: Baseline, tables: readonly (string | undefined)[]): Baseline {
  return Object.fromEntries(Object.entries(baseline).filter(([name]) => !tables.includes(name)));
}

function notHalted(message: string): AppError {
  return new AppError('ERR_NOT_HALTED', message);
}

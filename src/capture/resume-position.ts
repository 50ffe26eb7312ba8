import { haltOf, HaltError, CaptureFault } from '../binlog/halt.ts';
import { proveLineage } from '../binlog/position/lineage.ts';
import { lineageHalt, startOfReading } from '../binlog/position/verdict.ts';
import { containsPosition } from '../binlog/gtid/contains-position.ts';
import { currentPosition, listLogFiles, oldestPosition } from '../binlog/source/log-file.ts';
import type { Source, SourceIdentity } from '../binlog/source/source.ts';
import type { Baseline, LogPlace, Position } from '../binlog/types.ts';
import type { Config } from '../config/types.ts';
import { AppError } from '../lib/errors.ts';
import { keepSkipped } from '../outbox/checkpoint.ts';
import type { Appender } from '../outbox/append/append.ts';
import type { CaptureState, Checkpoint, Claimant } from '../outbox/types.ts';
import { firstBaseline, type CompiledSource } from './compiled-source.ts';
import { requireOwnCheckpoint } from './gap/edited-checkpoint.ts';
import { learnSchema, locateSchema, type LiveSchema } from './transaction/live-schema.ts';

interface Proving {
  config: Config;
  source: Source;
  claimant: Claimant;
  clinic: CompiledSource;
  state: CaptureState;
  appender: Appender;
}

interface Proven {
  /** Its file and offset belong to the server from which it was read, until something is read from this server. */
  checkpoint: Checkpoint;
  /** Where reading begins in this server's log; if only GTIDs tell that, an earlier position. */
  place: LogPlace;
  /** MariaDB: whether the log is requested by the checkpoint's file and offset instead of its GTIDs. */
  byFile: boolean;
  /** The tables as the log showed them up to the checkpoint. */
  baseline: Baseline;
  live: LiveSchema;
}

/**
 * Returns the checkpoint, verified to belong to this server, and the tables as the log showed them up to it; the first run creates both according to the
 * configuration. Throws a HaltError when the log does not continue from it.
 */
export async function verifyCheckpoint({
  config,
  source,
  claimant,
  clinic,
  state,
  appender,
}: Proving): Promise<Proven> {
  const { identity } = clinic;
  const { checkpoint, epoch, baseline } = state;
  await requireOwnCheckpoint(claimant, state);
  const live = await locateSchema(source, clinic);
  if (!checkpoint) {
    const position = await (config.source.startFrom === 'now' ? currentPosition : oldestPosition)(
      source,
      identity,
    );
    const first = firstCheckpoint(identity, position, epoch);
    // The tables may have been different when the oldest log was written, and the log itself shows them.
    const shown = config.source.startFrom === 'now' ? firstBaseline(clinic) : baseline;
    await appender.advance({ ...first, baseline: shown });
    return { checkpoint: first, place: first.position, byFile: false, baseline: shown, live };
  }
  const { position } = checkpoint;
  const lineage = await proveLineage(source, identity, {
    ...checkpoint,
    serverUuid: checkpoint.serverUuid ?? '',
    cleanStop: state.cleanStop,
  });
  if (lineage.kind !== 'ok') throw new HaltError(lineageHalt(lineage, position));
  const start = startOfReading(lineage, position);
  const proven = {
    ...checkpoint,
    position: start.position,
    lineage: lineage.retired
      ? `${lineageName(identity, epoch)}/${position.file}:${position.offset}`
      : checkpoint.lineage,
  };
  await forgetPassed(claimant, state);
  // Later acceptances must not treat reused numbers as transactions that were already read.
  if (lineage.retired) await appender.advance(proven);
  const isSame = checkpoint.serverUuid === identity.serverUuid;
  const place = isSame ? start.position : await startOfLog(source);
  const learned = learnedAt(place, { live, baseline, position });
  // It is written with the next move of the checkpoint: a halt must not end before reading continues.
  return {
    checkpoint: learned ? { ...proven, baseline: learned } : proven,
    place,
    byFile: start.byFile,
    baseline: learned ?? baseline,
    live,
  };
}

/** Keeps only accepted losses that lie after the checkpoint. */
async function forgetPassed({ store }: Claimant, { checkpoint, waived, epoch }: CaptureState): Promise<void> {
  if (!checkpoint) return;
  const ahead: string[] = [];
  for (const id of waived)
    if (!(await containsPosition(checkpoint.position, checkpoint.flavour, id))) ahead.push(id);
  if (ahead.length < waived.length) await keepSkipped(store, ahead, epoch);
}

/** The position before everything in the log. */
async function startOfLog(source: Source): Promise<LogPlace> {
  const [oldest] = await listLogFiles(source);
  return { file: oldest?.name ?? '', offset: 0 };
}

function learnedAt(
  place: LogPlace,
  { live, baseline, position }: { live: LiveSchema; baseline: Baseline; position: Position },
): Baseline | null {
  try {
    return learnSchema(live, { place, baseline });
  } catch (error) {
    throw error instanceof CaptureFault ? new HaltError(haltOf(error, position)) : error;
  }
}

function firstCheckpoint(
  identity: SourceIdentity,
  position: Position | undefined,
  epoch: number,
): Checkpoint {
  if (!position) {
    throw new AppError('ERR_PREFLIGHT', 'The binary log of the source is off.', {
      remedy: "Add log_bin = binlog to the [mysqld] section of the server's configuration and restart it.",
    });
  }
  return {
    lineage: lineageName(identity, epoch),
    flavour: identity.flavour,
    serverUuid: identity.serverUuid,
    position,
    committedAtMs: null,
    passedMs: null,
  };
}

/**
 * The part of event ids that distinguishes histories. GTIDs are the same on every server of a history, so a failover changes nothing; a file and offset is
 * valid only on its own server. An accepted gap begins a new epoch.
 */
export function lineageName({ flavour, gtidMode, serverUuid }: SourceIdentity, epoch: number): string {
  return gtidMode === 'on' ? `${flavour}/${epoch}` : `${serverUuid}/${epoch}`;
}

import { haltOf, HaltError, Tripwire } from '../binlog/halt.ts';
import { lineageHalt, proveLineage } from '../binlog/lineage.ts';
import { currentPosition, oldestPosition } from '../binlog/log-file.ts';
import type { Source, SourceIdentity } from '../binlog/source.ts';
import type { Baseline, Position } from '../binlog/types.ts';
import type { Config } from '../config/types.ts';
import { AppError } from '../lib/errors.ts';
import type { Appender } from '../outbox/append.ts';
import type { CaptureState, Checkpoint } from '../outbox/types.ts';
import { firstBaseline, requireTables, type Clinic } from './clinic.ts';

interface Proving {
  config: Config;
  source: Source;
  clinic: Clinic;
  state: CaptureState;
  appender: Appender;
}

/**
 * The checkpoint, proved to belong to this server, and the tables as the log has shown them up to it; at the first run both are
 * made as the configuration says. Throws a HaltError when the log does not go on from it.
 */
export async function provenCheckpoint({
  config,
  source,
  clinic,
  state: { checkpoint, epoch, baseline },
  appender,
}: Proving): Promise<{ checkpoint: Checkpoint; baseline: Baseline }> {
  const { identity } = clinic;
  if (!checkpoint) {
    const position = await (config.source.startFrom === 'now' ? currentPosition : oldestPosition)(
      source,
      identity,
    );
    const first = firstCheckpoint(identity, position, epoch);
    // The oldest log was written while the tables were others: it shows them itself.
    const shown = config.source.startFrom === 'now' ? firstBaseline(clinic) : baseline;
    await appender.advance({ ...first, baseline: shown });
    return { checkpoint: first, baseline: shown };
  }
  const { position } = checkpoint;
  const lineage = await proveLineage(source, identity, {
    ...checkpoint,
    serverUuid: checkpoint.serverUuid ?? '',
  });
  if (lineage.kind !== 'ok') throw new HaltError(lineageHalt(lineage, position));
  try {
    requireTables(clinic, baseline);
  } catch (error) {
    throw error instanceof Tripwire ? new HaltError(haltOf(error, position)) : error;
  }
  return { checkpoint: { ...checkpoint, serverUuid: identity.serverUuid }, baseline };
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
  };
}

/**
 * What tells one history from another in the event ids. GTIDs are the same on every server of a history, so a failover changes
 * nothing; a file and offset means something on its own server only. An accepted gap begins a new epoch.
 */
export function lineageName({ flavour, gtidMode, serverUuid }: SourceIdentity, epoch: number): string {
  return gtidMode === 'on' ? `${flavour}/${epoch}` : `${serverUuid}/${epoch}`;
}

import type { Source } from '../binlog/source/source.ts';
import type { StreamOptions } from '../binlog/stream.ts';
import type { Config } from '../config/types.ts';
import type { Installation } from '../db/schema/installation.ts';
import type { CaptureState, Checkpoint } from '../outbox/types.ts';
import { readingOf, type CompiledSource } from './compiled-source.ts';

interface Reader {
  config: Config;
  source: Source;
  installation: Installation;
}

type Known = Pick<CaptureState, 'waived' | 'baseline'> &
  Required<Pick<StreamOptions, 'byFile' | 'trustedFile'>> &
  Pick<StreamOptions, 'parents'> & { checkpoint: Checkpoint };

/** How capture reads the log after a checkpoint. */
export function readingOptions(
  { config, installation, source }: Reader,
  clinic: CompiledSource,
  { checkpoint, byFile, waived, baseline, parents, trustedFile }: Known,
): StreamOptions {
  return {
    ...readingOf(clinic),
    url: source.url,
    position: checkpoint.position,
    byFile,
    trustedFile,
    time: checkpoint,
    serverId: config.source.serverId ?? installation.serverId,
    replicaUuid: installation.uuid,
    heartbeatMs: config.source.heartbeatMs,
    bufferBytes: config.source.bufferBytes,
    waived: new Set(waived),
    baseline,
    ...(parents && { parents }),
  };
}

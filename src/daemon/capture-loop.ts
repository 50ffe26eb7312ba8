import { countReaders } from '../binlog/count-readers.ts';
import { HaltError, type Halt } from '../binlog/halt.ts';
import { proveLineage } from '../binlog/lineage.ts';
import { currentPosition, oldestPosition } from '../binlog/log-file.ts';
import type { Source, SourceIdentity } from '../binlog/source.ts';
import { openStream, type BinlogStream } from '../binlog/stream.ts';
import type { Position } from '../binlog/types.ts';
import type { Config } from '../config/types.ts';
import { leaseTiming, type Lease } from '../db/lease.ts';
import type { Installation } from '../db/installation.ts';
import { monotonicMs, sleep } from '../lib/clock.ts';
import { AppError, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { createLoop, type Background } from '../lib/loop.ts';
import { openAppender, type Appender } from '../outbox/append.ts';
import { readCaptureState, recordHalt } from '../outbox/checkpoint.ts';
import type { Checkpoint, Claimant, Subscription } from '../outbox/types.ts';
import { withCaptureLease } from './capture-lease.ts';
import { capture, type CaptureOptions } from './capture.ts';
import { nameOfRules, readingOf, type Clinic } from './clinic.ts';

/*
 *   standby ──lease──▶ connecting ──lineage proved──▶ capturing ──cut──▶ connecting
 *      ▲                   │                             │
 *      └───lease lost──────┴──────── HaltError ──────────┴──▶ halted ──resumed, or the cause gone──▶ connecting
 */
export type CaptureRole = 'standby' | 'connecting' | 'capturing' | 'halted';

export interface CaptureStatus {
  role: CaptureRole;
  halt: Halt | null;
  /** Why the last reader ended, while there is no other. */
  lastError: string | null;
  /** Milliseconds since the source was last heard; null while no reader is open. */
  silentMs: number | null;
  /** Readers opened so far. */
  readers: number;
}

/** While halted, the checkpoint is looked at so often: a person may have accepted the gap. */
const HALT_POLL_MS = 1_000;
/** And so often reading is tried again: the cause may be gone. */
const HALT_RETRY_MS = 30_000;

export interface CaptureLoopOptions {
  config: Config;
  source: Source;
  installation: Installation;
  claimant: Claimant;
  log: Log;
  webhooks(): readonly Subscription[];
  /** Reads the live schema anew and compiles the rules against it: at every connect. */
  reload(): Promise<Clinic>;
  steps: Omit<CaptureOptions, 'appender'>;
}

export interface CaptureLoop extends Background {
  status(): CaptureStatus;
  /** Opens a new reader from the checkpoint: what is to be read has changed. */
  reopen(): void;
}

export function createCaptureLoop(options: CaptureLoopOptions): CaptureLoop {
  const { claimant, log } = options;
  const status: Omit<CaptureStatus, 'silentMs'> = {
    role: 'connecting',
    halt: null,
    lastError: null,
    readers: 0,
  };
  let reader: BinlogStream | undefined;
  /** How often another reader was asked for: one that is just being opened may have begun with what was in force before. */
  let asked = 0;

  /** Set while another reader may have our server id: connecting would throw that one out, and it us, for ever. */
  let displaced: AppError | undefined;

  async function step(signal: AbortSignal): Promise<number> {
    const had = await withCaptureLease({ claimant, log, signal }, captureWhile);
    if (had) return 0;
    status.role = 'standby';
    return leaseTiming.pollMs;
  }

  async function captureWhile(lease: Lease, signal: AbortSignal): Promise<void> {
    status.role = 'connecting';
    const onError = (error: unknown): void =>
      log.warn({ error: messageOf(error) }, 'waiting deliveries could not be looked after');
    const appender = await openAppender(claimant, {
      fence: lease.token,
      webhooks: options.webhooks(),
      onError,
    });
    try {
      while (!signal.aborted) {
        try {
          await readOnce(appender, signal);
        } catch (error) {
          displaced = error instanceof AppError && error.code === 'ERR_SERVER_ID_TAKEN' ? error : undefined;
          if (!(error instanceof HaltError)) throw error;
          await halted(error.halt, signal);
        }
      }
    } finally {
      await appender.close();
    }
  }

  /** The life of one reader. Ends without an error when it is closed. */
  async function readOnce(appender: Appender, signal: AbortSignal): Promise<void> {
    status.role = 'connecting';
    const askedBefore = asked;
    const clinic = await options.reload();
    const checkpoint = await provenCheckpoint(options, clinic.identity, appender);
    const { config, installation, source } = options;
    const serverId = config.source.serverId ?? installation.serverId;
    if (displaced && (await countReaders(source, clinic.identity, serverId)) !== 0) throw displaced;
    displaced = undefined;
    const opened = await openStream({
      ...readingOf(clinic),
      url: source.url,
      position: checkpoint.position,
      serverId,
      replicaUuid: installation.uuid,
      heartbeatMs: config.source.heartbeatMs,
      bufferBytes: config.source.bufferBytes,
      waived: new Set(),
      baseline: new Map(),
    });
    reader = opened;
    const close = (): void => opened.close();
    signal.addEventListener('abort', close, { once: true });
    if (signal.aborted || asked !== askedBefore) close();
    status.role = 'capturing';
    status.lastError = null;
    status.readers += 1;
    const { file, offset } = checkpoint.position;
    // Where an edit of the rules takes effect: it decides about every transaction behind this position, and about none before.
    log.info({ file, offset, server: clinic.identity.hostname, rules: nameOfRules(clinic) }, 'capturing');
    try {
      await capture(opened, checkpoint, { ...options.steps, appender });
    } finally {
      signal.removeEventListener('abort', close);
      close();
      reader = undefined;
    }
    status.halt = null;
  }

  async function halted(halt: Halt, signal: AbortSignal): Promise<void> {
    status.role = 'halted';
    status.halt = halt;
    await recordHalt(claimant.store, halt);
    log.error({ reason: halt.reason, table: halt.table, remedy: halt.remedy }, halt.message);
    const { epoch } = await readCaptureState(claimant.store);
    const until = monotonicMs() + HALT_RETRY_MS;
    while (!signal.aborted && monotonicMs() < until) {
      await sleep(HALT_POLL_MS, signal);
      const state = await readCaptureState(claimant.store);
      if (state.epoch !== epoch || state.halt === null) return;
    }
  }

  const loop = createLoop({
    step,
    onError(error, failures) {
      status.lastError = messageOf(error);
      if (status.role === 'capturing') status.role = 'connecting';
      log.warn({ error: messageOf(error), failures }, 'capture was interrupted, trying again');
    },
    backoff: { firstMs: 100, maxMs: 10_000 },
  });

  return {
    start: () => loop.start(),
    stop: () => loop.stop(),
    status: () => ({ ...status, silentMs: reader ? reader.silentMs() : null }),
    reopen() {
      asked += 1;
      reader?.close();
    },
  };
}

/** The checkpoint, proved to belong to this server; at the first run, one made as the configuration says. */
async function provenCheckpoint(
  { claimant, config, source }: CaptureLoopOptions,
  identity: SourceIdentity,
  appender: Appender,
): Promise<Checkpoint> {
  const { checkpoint, epoch } = await readCaptureState(claimant.store);
  if (!checkpoint) {
    const position = await (config.source.startFrom === 'now' ? currentPosition : oldestPosition)(
      source,
      identity,
    );
    const first = firstCheckpoint(identity, position, epoch);
    await appender.advance(first);
    return first;
  }
  const lineage = await proveLineage(source, identity, {
    ...checkpoint,
    serverUuid: checkpoint.serverUuid ?? '',
  });
  if (lineage.kind === 'ok') return { ...checkpoint, serverUuid: identity.serverUuid };
  const { kind, message, remedy } = lineage;
  throw new HaltError({
    reason: kind,
    message,
    remedy,
    position: checkpoint.position,
    transactionId: null,
    table: null,
  });
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

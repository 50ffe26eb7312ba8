import { proveLineage } from '../binlog/position/lineage.ts';
import { globalVariable, readLogStatus } from '../binlog/source/log-file.ts';
import {
  identityVariables,
  serverUuidOf,
  toVariables,
  type Source,
  type SourceIdentity,
} from '../binlog/source/source.ts';
import { openStream, type StreamOptions } from '../binlog/stream.ts';
import { isBare } from '../binlog/stream/part-queue.ts';
import type { Baseline } from '../binlog/types.ts';
import type { Config } from '../config/types.ts';
import {
  acquireLease,
  leaseTiming,
  releaseLease,
  releaseStatement,
  type Lease,
} from '../db/connection/lease.ts';
import type { Session } from '../db/connection/client.ts';
import type { Installation } from '../db/schema/installation.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { openAppender, type Appender } from '../outbox/append/append.ts';
import { cleanStopStatement, readCaptureState } from '../outbox/checkpoint.ts';
import type { Checkpoint, Claimant, Subscription } from '../outbox/types.ts';
import { findCheckpointEdit } from './gap/edited-checkpoint.ts';
import type { CascadeWatch } from './cascade-watch.ts';
import type { CompiledSource } from './compiled-source.ts';
import { readingOptions } from './reading-options.ts';

/** At a stop only this process's last writes are unread: a longer rest is left to the next start. */
const TIME_MS = 4_000;

export interface ClosingOptions {
  /** Whether this process was capturing when it was stopped. */
  hasCaptured: boolean;
  config: Config;
  source: Source;
  installation: Installation;
  claimant: Claimant;
  log: Log;
  webhooks(): readonly Subscription[];
  reload(baseline: Baseline): Promise<CompiledSource>;
  steps: { cascades: Pick<CascadeWatch, 'begin'> };
}

/**
 * For a store on the source server, after everything else of this process has written to it for the last time: moves the checkpoint past those writes, so
 * that the log may be purged up to its end before the next start. The same transaction releases the lease. It is the only transaction that the next start
 * cannot read then; binlog/position/clean-stop.ts proves that it is ours. Does nothing when this process did not capture, when another process captures,
 * or when the log has a change that is not captured yet. Then, as after a failure, the next start reads from the unchanged checkpoint.
 */
export async function closeCapture(options: ClosingOptions): Promise<void> {
  const { claimant, log, source, hasCaptured } = options;
  if (!hasCaptured) return;
  try {
    source.renew();
    const identity = await source.identify();
    if (!(await isLoggedBySource(claimant.store, source, identity))) return;
    const lease = await acquireLease(claimant.store, {
      name: 'capture',
      holder: claimant.owner,
      ttlMs: leaseTiming.ttlMs,
    });
    if (!lease) return;
    try {
      await moveToEnd(options, identity, lease);
    } finally {
      await releaseLease(claimant.store, lease);
    }
  } catch (error) {
    log.info({ error: messageOf(error) }, 'the last writes of this process stay behind the checkpoint');
  }
}

/** Whether writes to the store appear in the log that capture reads, under GTIDs of that server. */
async function isLoggedBySource(store: Session, source: Source, identity: SourceIdentity): Promise<boolean> {
  if (identity.gtidMode !== 'on') return false;
  const [session] = await store.rows<{ logged: number }>('SELECT @@SESSION.sql_log_bin AS logged');
  const storeUuid = serverUuidOf(toVariables(await store.rows(identityVariables)));
  if (storeUuid !== identity.serverUuid || session!.logged !== 1) return false;
  const status = await readLogStatus(source, identity);
  return status !== undefined && status.doSchemas.length === 0 && status.ignoredSchemas.length === 0;
}

async function moveToEnd(options: ClosingOptions, identity: SourceIdentity, lease: Lease): Promise<void> {
  const { claimant, source } = options;
  const appender = await openAppender(claimant, {
    fence: lease.token,
    webhooks: options.webhooks(),
    onDue: () => undefined,
    onError: () => undefined,
  });
  try {
    const stored = await readCaptureState(claimant.store);
    const { checkpoint, cleanStop, halt, ...state } = stored;
    if (!checkpoint || halt || (await findCheckpointEdit(claimant, stored))) return;
    const clinic = await options.reload(state.baseline);
    const lineage = await proveLineage(source, clinic.identity, {
      ...checkpoint,
      serverUuid: checkpoint.serverUuid ?? '',
      cleanStop,
    });
    if (lineage.kind !== 'ok' || lineage.from || clinic.identity.serverUuid !== checkpoint.serverUuid) return;
    const parents = await options.steps.cascades.begin(state.keys);
    const known = { ...state, checkpoint, byFile: false, trustedFile: '', parents };
    const reading = readingOptions(options, clinic, known);
    // Queried before the log is read to its end, so that all of it is read.
    const gtids = identity.flavour === 'mariadb' ? await globalVariable(source, 'gtid_binlog_state') : null;
    const reached = await readToEnd(reading, checkpoint);
    if (reached) await writeLast(appender, { reached, lease, epoch: state.epoch, gtids });
  } finally {
    await appender.close();
  }
}

/** The position after the last transaction of the log; null when a transaction before it must be captured, or when time has run out. */
async function readToEnd(reading: StreamOptions, from: Checkpoint): Promise<Checkpoint | null> {
  const stream = await openStream({ ...reading, endsWithLog: true });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    stream.close();
  }, TIME_MS);
  let reached = from;
  try {
    for (;;) {
      const parts = await stream.take();
      if (parts.length === 0) return isLate ? null : reached;
      for (const part of parts) {
        if (!isBare(part)) return null;
        reached = { ...reached, ...part.commit };
      }
    }
  } finally {
    clearTimeout(timer);
    stream.close();
  }
}

interface Last {
  reached: Checkpoint;
  lease: Lease;
  epoch: number;
  /** MariaDB: gtid_binlog_state. */
  gtids: string | null;
}

async function writeLast(appender: Appender, { reached, lease, epoch, gtids }: Last): Promise<void> {
  await appender.advance(reached, [cleanStopStatement(reached, epoch, gtids), releaseStatement(lease)]);
}

import type { Dispatcher } from '../delivery/schedule/dispatcher.ts';
import type { HttpVerbs } from '../http/server.ts';
import type { Background } from '../lib/loop/loop.ts';
import type { Source } from '../binlog/source/source.ts';
import type { Log } from '../lib/log.ts';
import type { FailureLog } from '../lib/loop/failure-log.ts';
import type { Claimant } from '../outbox/types.ts';
import type { AuditWatch } from './upkeep/audit-watch.ts';
import { createCanary } from '../capture/canary.ts';
import type { CaptureLoop } from '../capture/capture-loop.ts';
import type { LiveState } from './live-state.ts';
import type { Observer } from './observer.ts';
import type { PreflightWatch } from './upkeep/preflight-watch.ts';
import { createRunwayWatch } from './upkeep/runway-watch.ts';
import { createSchemaWatch } from './upkeep/schema-watch.ts';

export interface ProgressOptions {
  claimant: Claimant;
  source: Source;
  log: Log;
  outages: FailureLog;
  inForce: LiveState;
  observer: Observer;
  preflight: PreflightWatch;
  audit: AuditWatch;
  captureLoop: CaptureLoop;
  dispatcher: Dispatcher;
}

/** Watches whether capture makes progress, and provides the data for health and metrics. */
export interface Progress extends Background, HttpVerbs {}

export function createProgress(options: ProgressOptions): Progress {
  const { claimant, source, log, outages, inForce, observer, preflight, audit, captureLoop, dispatcher } =
    options;
  const { heartbeatMs } = inForce.config.source;
  const canary = createCanary({
    claimant,
    source,
    identity: () => inForce.clinic.identity,
    capture: () => captureLoop.status(),
    onMoved() {
      log.warn({}, "the source's address leads to another server: capture connects to that one");
      captureLoop.reopen();
    },
    onShortened({ file, offset }) {
      log.warn(
        { file, offset },
        "the source's log ends before what was read of it: the checkpoint is proved anew",
      );
      captureLoop.reopen();
    },
    everyMs: heartbeatMs,
    outages,
  });
  const runway = createRunwayWatch({ source, store: claimant.store, log, outages });
  const schema = createSchemaWatch({ store: claimant.store, log, outages });
  const watches = [canary, runway, audit, schema];
  const now = () => ({
    capture: captureLoop.status(),
    canary: canary.status(),
    audit: audit.status(),
    outages: outages.present(),
  });
  return {
    start: () => watches.forEach((watch) => watch.start()),
    async stop() {
      await Promise.all(watches.map((watch) => watch.stop()));
    },
    readiness: () => observer.readiness(now(), heartbeatMs, [...preflight.failing(), ...schema.failing()]),
    metrics: () =>
      observer.metrics(
        { ...now(), runway: runway.latest(), schemaDifferences: schema.count() },
        dispatcher.stats(),
        claimant.store,
      ),
  };
}

import type { CheckResult, PreflightReport } from '../binlog/preflight/preflight.ts';
import type { Runway } from '../binlog/position/runway.ts';
import type { Store } from '../db/connection/client.ts';
import type { Attempted, DispatcherStats } from '../delivery/types.ts';
import type { Readiness } from '../http/server.ts';
import { errorCatalogue } from '../lib/errors.ts';
import { sleep, systemClock } from '../lib/clock.ts';
import type { Appended } from '../outbox/append/place-events.ts';
import { readQueueDepths, type QueueDepth } from '../outbox/queue/claim.ts';
import type { Subscription } from '../outbox/types.ts';
import type { AuditStatus } from './upkeep/audit-watch.ts';
import type { AppendedBatch } from '../capture/transaction/append-batcher.ts';
import type { CanaryStatus } from '../capture/canary.ts';
import { freeLease } from '../capture/capture-lease.ts';
import type { CaptureStatus } from '../capture/capture-status.ts';
import type { Metrics } from './metrics.ts';
import type { PresentOutage } from '../lib/loop/failure-log.ts';

export interface ObserverOptions {
  metrics: Metrics;
  nameOf(webhookId: number): string;
  webhooks(): readonly Subscription[];
  /** Problems of webhooks, by id. */
  problems(): ReadonlyMap<number, readonly string[]>;
}

/** The longest that a scrape waits for the store: without an answer the queue is left out, and everything else is reported. */
const STORE_ANSWERS_MS = 1_000;

/** Converts events of the process to metrics and readiness. */
export interface Observer {
  onAppended(appended: Appended, batch: AppendedBatch): void;
  onAttempt(attempted: Attempted): void;
  /** The preflight ran again. */
  onPreflight(report: PreflightReport): void;
  /** Ready if capture makes progress here or in another process, and no check of the preflight fails. */
  readiness(progress: Progress, heartbeatMs: number, failing: readonly CheckResult[]): Readiness;
  /** Returns the Prometheus exposition, including values that are read on request. */
  metrics(
    progress: Progress & { runway: Runway | undefined; schemaDifferences: number },
    delivery: DispatcherStats,
    store: Store,
  ): Promise<string>;
}

/** The values that show whether this process makes progress. */
export interface Progress {
  capture: CaptureStatus;
  /** Null in a process that does not capture. */
  canary: CanaryStatus | null;
  audit: AuditStatus;
  /** The present outages of the loops. */
  outages: readonly PresentOutage[];
}

/** After this many missed heartbeats the stream counts as silent, and after this many canaries as lost. */
const MISSED_HEARTBEATS = 3;
/** Lower bound of the limit: with a short heartbeat, a busy machine is not reported as unready sooner. */
const MINIMUM_LIMIT_MS = 5_000;

export function createObserver({ metrics, nameOf, webhooks, problems }: ObserverOptions): Observer {
  /** Age of the last transaction when it was captured, since capture was last at the end of the log. */
  let appendLagMs = 0;
  let counting: Promise<QueueDepth[]> | undefined;

  /** Runs once at a time, however many scrapes wait for a frozen store. Returns nothing while the store does not answer. */
  async function countQueue(store: Store): Promise<readonly QueueDepth[]> {
    counting ??= readQueueDepths(store)
      .catch(() => [])
      .finally(() => (counting = undefined));
    const answered = new AbortController();
    const silent = sleep(STORE_ANSWERS_MS, answered.signal).then(() => []);
    const depths = await Promise.race([counting, silent]);
    answered.abort();
    return depths;
  }

  return {
    onAppended({ events, erased }, { transactions, changes, estimated, cascades, committedAtMs }) {
      metrics.transactions.inc(transactions);
      metrics.estimatedTimes.inc(estimated);
      metrics.changes.inc(changes);
      metrics.events.inc(events);
      metrics.erasedEvents.inc(erased);
      for (const table of cascades) metrics.unloggedCascades.inc({ table });
      appendLagMs = Math.max(0, systemClock.now() - committedAtMs);
    },
    onAttempt({ webhook, delivery, outcome }) {
      metrics.attempts.inc({ webhook: webhook.name, outcome: outcome.kind });
      metrics.deliverySeconds.observe({ webhook: webhook.name }, outcome.durationMs / 1_000);
      if (outcome.kind === 'delivered' && delivery.attempt === 1) {
        metrics.commitToReceivedSeconds.observe(
          Math.max(0, systemClock.now() - delivery.occurredAtMs) / 1_000,
        );
      }
    },
    onPreflight({ checks }) {
      for (const level of ['pass', 'warn', 'fail', 'skip'] as const) {
        metrics.preflight.set({ level }, checks.filter((check) => check.level === level).length);
      }
    },
    readiness({ capture, canary, audit, outages }, heartbeatMs, failing) {
      const reasons = failing.map(describeFailure);
      const { halt, role, lastError, lastRemedy } = capture;
      if (halt) reasons.push(withRemedy(`capture is halted (${halt.reason}): ${halt.message}`, halt.remedy));
      else if (role === 'connecting')
        reasons.push(
          withRemedy(`capture is not connected: ${lastError ?? 'connecting'}`, lastRemedy ?? look),
        );
      else if (role === 'standby' && capture.blockedBy !== null) {
        const reason = `no daemon captures: the lease to capture is held by ${capture.blockedBy}, which does not capture`;
        reasons.push(withRemedy(reason, freeLease));
      }
      if (role === 'capturing' && (capture.silentMs ?? 0) > heartbeatMs * MISSED_HEARTBEATS) {
        reasons.push(withRemedy('the source has been silent for three heartbeats', look));
      }
      const limitMs = Math.max(MINIMUM_LIMIT_MS, heartbeatMs * MISSED_HEARTBEATS);
      if (capture.role === 'capturing' && canary && canary.ageMs > limitMs) {
        const [age, limit] = [canary.ageMs, limitMs].map((ms) => Math.round(ms / 1_000));
        reasons.push(
          withRemedy(
            `capture makes no progress: for ${age} s no canary came back through the log (limit ${limit} s)`,
            look,
          ),
        );
      }
      // While capture is halted, only the halt is reported: later errors of capture are not among the reasons yet.
      reasons.push(...storeReasons(outages, halt ? null : lastError), ...auditReasons(audit));
      return { ready: reasons.length === 0, reasons };
    },
    async metrics({ capture, canary, audit, runway, schemaDifferences }, delivery, store) {
      metrics.schemaDifferences.set(schemaDifferences);
      metrics.unsealedAgeSeconds.set(audit.unsealedAgeMs / 1_000);
      metrics.sealingStopped.set(audit.stoppedForMs === null ? 0 : 1);
      metrics.auditBroken.set(audit.broken === null ? 0 : 1);
      if (canary?.lagMs === 0) appendLagMs = 0;
      metrics.lagSeconds.set(Math.max(canary?.lagMs ?? 0, appendLagMs) / 1_000);
      metrics.canaryAgeSeconds.set(canary ? canary.ageMs / 1_000 : NaN);
      metrics.runwaySeconds.set(runway ? (runway.untilPurgeMs ?? Infinity) / 1_000 : NaN);
      metrics.behindBytes.set(runway?.behindBytes ?? NaN);
      metrics.halted.set(capture.halt ? 1 : 0);
      metrics.capturing.set(capture.role === 'capturing' ? 1 : 0);
      metrics.leaseBlocked.set(capture.blockedBy === null ? 0 : 1);
      metrics.retries.reset();
      for (const [reason, count] of Object.entries(store.retries())) metrics.retries.inc({ reason }, count);
      metrics.reconnects.reset();
      metrics.reconnects.inc(Math.max(0, capture.readers - 1));
      metrics.inFlight.set(delivery.inFlight);
      metrics.disabled.reset();
      metrics.problems.reset();
      metrics.paused.reset();
      const wrong = problems();
      for (const { id, name, standing } of webhooks()) {
        metrics.disabled.set({ webhook: name }, standing === 'disabled' ? 1 : 0);
        metrics.paused.set({ webhook: name }, standing === 'paused' ? 1 : 0);
        metrics.problems.set({ webhook: name }, wrong.get(id)?.length ?? 0);
      }
      metrics.queue.reset();
      for (const { webhookId, pending, waiting, sending } of await countQueue(store)) {
        metrics.queue.set({ webhook: nameOf(webhookId) }, pending + waiting + sending);
      }
      return metrics.registry.metrics();
    },
  };
}

/** Remedy for reasons without a remedy of their own. */
const look =
  'Run `odontology-webhooks check`, and read the log of the daemon: it names what fails and what is slow.';

/** A reason why the daemon is not ready, with its remedy. */
const withRemedy = (reason: string, remedy: string): string =>
  `${reason.replace(/\.$/, '')}. Remedy: ${remedy}`;

/** A failed check, in the words of `check`. */
const describeFailure = ({ id, title, detail, remedy }: CheckResult): string =>
  withRemedy(`the check ${id} fails: ${title}: ${detail}`, remedy ?? look);

/** Reasons why the store cannot be written, except for the error in `said`, which is reported already. */
function storeReasons(outages: readonly PresentOutage[], said: string | null): string[] {
  return outages
    .filter(({ error }) => error.code.startsWith('ERR_STORE') && error.message !== said)
    .map(({ message, error }) => withRemedy(`${message}: ${error.message} (${error.code})`, error.remedy));
}

function auditReasons({ stoppedForMs, broken }: AuditStatus): string[] {
  return [
    ...(broken === null
      ? []
      : [withRemedy(`nothing is sealed or dropped (ERR_AUDIT): ${broken}`, errorCatalogue.ERR_AUDIT.remedy)]),
    ...(stoppedForMs === null
      ? []
      : [withRemedy(`the log has not been sealed for ${Math.round(stoppedForMs / 1_000)} s`, look)]),
  ];
}

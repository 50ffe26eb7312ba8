import type { CheckResult, PreflightReport } from '../binlog/preflight/preflight.ts';
import type { Store } from '../db/client.ts';
import type { Attempted, DispatcherStats } from '../delivery/types.ts';
import type { Readiness } from '../http/server.ts';
import { systemClock } from '../lib/clock.ts';
import type { Appended } from '../outbox/append.ts';
import { readQueueDepths } from '../outbox/claim.ts';
import type { Subscription } from '../outbox/types.ts';
import type { CaptureStatus } from './capture-loop.ts';
import type { Metrics } from './metrics.ts';

export interface ObserverOptions {
  metrics: Metrics;
  nameOf(webhookId: number): string;
  webhooks(): readonly Subscription[];
}

/** Turns what happens into metrics and readiness. */
export interface Observer {
  onAppended(
    appended: Appended,
    batch: { transactions: number; changes: number; committedAtMs: number },
  ): void;
  onAttempt(attempted: Attempted): void;
  /** The preflight was asked again. */
  onPreflight(report: PreflightReport): void;
  /** Ready while capture makes progress here, or another process has it, and no check of the preflight fails. */
  readiness(capture: CaptureStatus, heartbeatMs: number, failing: readonly CheckResult[]): Readiness;
  /** The Prometheus exposition, with what is only known when asked. */
  metrics(capture: CaptureStatus, delivery: DispatcherStats, store: Store): Promise<string>;
}

/** Beyond so many missed heartbeats the stream counts as silent. */
const MISSED_HEARTBEATS = 3;

export function createObserver({ metrics, nameOf, webhooks }: ObserverOptions): Observer {
  return {
    onAppended({ events }, { transactions, changes, committedAtMs }) {
      metrics.transactions.inc(transactions);
      metrics.changes.inc(changes);
      metrics.events.inc(events);
      metrics.lagSeconds.set(Math.max(0, systemClock.now() - committedAtMs) / 1_000);
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
    readiness(capture, heartbeatMs, failing) {
      const reasons = failing.map(({ id, detail }) => `the check ${id} fails: ${detail}`);
      if (capture.halt) reasons.push(`capture is halted (${capture.halt.reason}): ${capture.halt.message}`);
      else if (capture.role === 'connecting')
        reasons.push(`capture is not connected: ${capture.lastError ?? 'connecting'}`);
      if (capture.role === 'capturing' && (capture.silentMs ?? 0) > heartbeatMs * MISSED_HEARTBEATS) {
        reasons.push('the source has been silent for three heartbeats');
      }
      return { ready: reasons.length === 0, reasons };
    },
    async metrics(capture, delivery, store) {
      metrics.halted.set(capture.halt ? 1 : 0);
      metrics.capturing.set(capture.role === 'capturing' ? 1 : 0);
      metrics.reconnects.reset();
      metrics.reconnects.inc(Math.max(0, capture.readers - 1));
      metrics.inFlight.set(delivery.inFlight);
      metrics.disabled.reset();
      for (const { name, isActive, collects } of webhooks()) {
        metrics.disabled.set({ webhook: name }, !isActive && collects ? 1 : 0);
      }
      metrics.queue.reset();
      for (const { webhookId, pending, waiting, sending } of await readQueueDepths(store)) {
        metrics.queue.set({ webhook: nameOf(webhookId) }, pending + waiting + sending);
      }
      return metrics.registry.metrics();
    },
  };
}

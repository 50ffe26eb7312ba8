import { systemClock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { ClaimedDelivery, Webhook } from '../../outbox/types.ts';
import { toRequest } from '../send/request.ts';
import { explainOutcome } from '../explain.ts';
import { toFailure } from '../send/failure.ts';
import type { Sender } from '../send/send.ts';
import { type NextStep, nextStep } from './retry.ts';
import type { Outcome, Request, Settlement } from '../types.ts';

export interface AttemptsOptions {
  sender: Sender;
  log: Log;
  retryScheduleMs: readonly number[];
}

/** An attempt that has ended. */
export interface EndedAttempt {
  settlement: Settlement;
  /** The receiver answered 410. */
  disables: boolean;
  /** An idle connection died, which says nothing about the endpoint: the delivery is retried once at once. */
  triesAgain: boolean;
}

/** The outcome for the store: a delivery of a disabled webhook waits like a retry. */
function toRecordedStep(step: NextStep): Settlement['next'] {
  return step.kind === 'disable' ? { kind: 'retry', delayMs: step.delayMs } : step;
}

/** Makes the attempts, one request each, and decides the next step of their deliveries. */
export class Attempts {
  readonly #options: AttemptsOptions;
  /** Deliveries whose next attempt is their second try on a new connection. */
  readonly #secondTries = new Set<number>();

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** Sends a delivery once. Never rejects: an internal error is an outcome, too. */
  async make(webhook: Webhook, delivery: ClaimedDelivery): Promise<EndedAttempt> {
    const outcome = await this.#send(toRequest(delivery, webhook));
    const isSecondTry = this.#secondTries.delete(delivery.id);
    const triesAgain = !isSecondTry && outcome.kind === 'failed' && outcome.idleConnectionDied === true;
    const step = triesAgain ? this.#tryAgain(delivery) : this.#nextStep(outcome, delivery, isSecondTry);
    const { receiver } = webhook;
    const settlement = {
      ...{ delivery, outcome, explanation: explainOutcome(outcome) },
      ...{ endedAtMs: systemClock.now(), next: toRecordedStep(step) },
      ...(receiver !== undefined && { receiver }),
    };
    return { settlement, disables: step.kind === 'disable', triesAgain };
  }

  /** Schedules the second try, on a new connection. It is recorded as a separate attempt. */
  #tryAgain({ id }: ClaimedDelivery): NextStep {
    this.#secondTries.add(id);
    return { kind: 'retry', delayMs: 0 };
  }

  /** A second try does not use up the schedule. */
  #nextStep(outcome: Outcome, { attempt }: ClaimedDelivery, isSecondTry: boolean): NextStep {
    const scheduleMs = this.#options.retryScheduleMs;
    return nextStep(outcome, isSecondTry ? attempt - 1 : attempt, { scheduleMs });
  }

  async #send(request: Request): Promise<Outcome> {
    try {
      return await this.#options.sender.send(request);
    } catch (error) {
      this.#options.log.error(
        { error: messageOf(error), eventId: request.eventId },
        'an attempt failed by our own fault',
      );
      return { kind: 'failed', ...toFailure(error), reason: 'local', durationMs: 0 };
    }
  }
}

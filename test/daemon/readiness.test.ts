import { describe, expect, it } from 'vitest';
import type { CaptureStatus } from '../../src/capture/capture-status.ts';
import { createMetrics } from '../../src/daemon/metrics.ts';
import { createObserver, type Progress } from '../../src/daemon/observer.ts';
import { AppError } from '../../src/lib/errors.ts';

const observer = createObserver({
  metrics: createMetrics(),
  nameOf: String,
  webhooks: () => [],
  problems: () => new Map(),
});

const capture: CaptureStatus = {
  ...{ role: 'capturing', halt: null, lastError: null, lastRemedy: null, failures: 0 },
  ...{ silentMs: 0, doneTo: null, readers: 1, blockedBy: null },
};
const down = new AppError('ERR_STORE_UNREACHABLE', 'The store does not answer', { remedy: 'Start it.' });

/** What /readyz says while the store is down and capture met that, in this state. */
function reasonsIn(state: Partial<CaptureStatus>): readonly string[] {
  const progress: Progress = {
    capture: { ...capture, lastError: down.message, lastRemedy: down.remedy, ...state },
    canary: null,
    audit: { unsealedAgeMs: 0, stoppedForMs: null, lastSeal: 0, broken: null },
    outages: [{ message: 'the queue could not be read', error: down }],
  };
  return observer.readiness(progress, 1_000, []).reasons;
}

const byItself =
  'the queue could not be read: The store does not answer (ERR_STORE_UNREACHABLE). Remedy: Start it.';
const ofCapture = 'capture is not connected: The store does not answer. Remedy: Start it.';

describe('a store that is down', () => {
  it('is named once where it is why capture is not connected', () => {
    expect(reasonsIn({ role: 'connecting' })).toEqual([ofCapture]);
  });

  it('is named beside the halt while capture is halted', () => {
    const halt = {
      ...{ reason: 'event-too-large' as const, message: 'Capture stopped', remedy: 'Raise it.' },
      ...{ position: null, transactionId: null, table: null, missing: null },
      span: { fromMs: null, untilMs: null },
    };
    expect(reasonsIn({ role: 'halted', halt })).toEqual([
      'capture is halted (event-too-large): Capture stopped. Remedy: Raise it.',
      byItself,
    ]);
  });

  it.each(['capturing', 'standby'] as const)('is named where capture is %s', (role) => {
    expect(reasonsIn({ role, lastError: null, lastRemedy: null })).toEqual([byItself]);
  });
});

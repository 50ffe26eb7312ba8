import { describe, expect, it } from 'vitest';
import { HaltError, type Halt } from '../../src/binlog/halt.ts';
import { firstStatus, nextStatus, type CaptureEvent } from '../../src/capture/capture-status.ts';
import { AppError } from '../../src/lib/errors.ts';

const halt: Halt = {
  reason: 'purged',
  message: 'the log is gone',
  remedy: 'accept the gap',
  position: null,
  transactionId: null,
  table: null,
  missing: null,
  span: { fromMs: null, untilMs: null },
};
const failed: CaptureEvent = {
  kind: 'failed',
  error: new AppError('ERR_SOURCE_UNREACHABLE', 'no connection', { remedy: 'start the server' }),
};
const after = (...events: CaptureEvent[]) => events.reduce(nextStatus, firstStatus);

describe('the status of capture', () => {
  it('names the holder of the lease until this process has it', () => {
    const blocked = after({ kind: 'standby' }, { kind: 'blocked', by: 'other' });
    expect(blocked).toMatchObject({ role: 'standby', blockedBy: 'other' });
    expect(nextStatus(blocked, { kind: 'connecting' })).toMatchObject({
      role: 'connecting',
      blockedBy: null,
    });
  });

  it('keeps an error until a reader is open, and counts tries until the checkpoint moves', () => {
    const twice = after({ kind: 'capturing' }, failed, failed);
    const error = { lastError: 'no connection', lastRemedy: 'start the server' };
    expect(twice).toMatchObject({ role: 'connecting', failures: 2, readers: 1, ...error });
    const open = nextStatus(twice, { kind: 'capturing' });
    expect(open).toMatchObject({
      role: 'capturing',
      failures: 2,
      readers: 2,
      lastError: null,
      lastRemedy: null,
    });
    expect(nextStatus(open, { kind: 'moved' })).toMatchObject({ role: 'capturing', failures: 0 });
  });

  it('keeps a halt while reading is tried again, until the checkpoint moves or the gap is accepted', () => {
    const again = after({ kind: 'halted', halt }, { kind: 'connecting' }, { kind: 'capturing' });
    expect(again).toMatchObject({ role: 'capturing', halt });
    expect(nextStatus(again, { kind: 'moved' }).halt).toBeNull();
    expect(nextStatus(again, { kind: 'resumed' }).halt).toBeNull();
  });

  it('stays halted when looking for an accepted gap fails', () => {
    expect(after({ kind: 'halted', halt }, failed)).toMatchObject({ role: 'halted', halt, failures: 1 });
  });

  it('is connecting when a standby cannot ask for the lease', () => {
    expect(after({ kind: 'standby' }, failed).role).toBe('connecting');
    expect(after({ kind: 'connecting' }, { kind: 'failed', error: new HaltError(halt) }).lastError).toBe(
      halt.message,
    );
  });
});

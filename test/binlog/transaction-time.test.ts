import { expect, it } from 'vitest';
import { eventType } from '../../src/binlog/protocol/event-type.ts';
import type { LogEvent } from '../../src/binlog/protocol/log-event.ts';
import type { TransactionStart } from '../../src/binlog/gtid/read-gtid.ts';
import { LogClock } from '../../src/binlog/transaction/log-clock.ts';
import { TransactionTime } from '../../src/binlog/transaction/transaction-time.ts';

const noon = Date.parse('2026-03-07T12:00:00.000Z');
/** A session's `SET timestamp` of 2038. */
const future = 2_147_480_000;

function event(type: number, timestamp: number): LogEvent {
  return {
    type,
    timestamp,
    serverId: 1,
    flags: 0,
    size: 19,
    logPos: 0,
    buffer: Buffer.alloc(32),
    bodyStart: 19,
    bodyEnd: 32,
  };
}

it('takes what was logged before a start for older than the start, and what came later for new', () => {
  const restartedMs = noon;
  const stoppedMs = noon - 30_000;
  const clock = new LogClock({ now: () => restartedMs }, stoppedMs);
  clock.pass(stoppedMs);
  const time = new TransactionTime({ clock });
  time.beginFile(event(eventType.formatDescription, stoppedMs / 1_000));
  time.expectEnd({ file: 'binlog.000001', offset: 1_000 }, restartedMs);
  const start: TransactionStart = {
    gtid: null,
    immediateMicros: 0n,
    originalMicros: 0n,
    standalone: false,
    opens: true,
    prepares: false,
  };
  const commitAt = (offset: number): number => {
    time.begin(start, event(eventType.mariadbGtid, future), { file: 'binlog.000001', offset });
    return time.at(event(eventType.xid, future)).committedAtMs;
  };
  expect([commitAt(500), commitAt(700)]).toEqual([stoppedMs, stoppedMs]);
  expect(commitAt(1_000)).toBe(restartedMs);
});

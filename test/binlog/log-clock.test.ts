import { describe, expect, it } from 'vitest';
import { LogClock, mysqlCommitMs } from '../../src/binlog/transaction/log-clock.ts';

const noon = Date.parse('2026-03-07T12:00:00.000Z');
const seconds = (count: number): number => count * 1_000;
const days = (count: number): number => count * 86_400_000;

function clockAt(nowMs: number, lastMs: number | null = null): { clock: LogClock; set(ms: number): void } {
  let now = nowMs;
  return { clock: new LogClock({ now: () => now }, lastMs), set: (ms) => (now = ms) };
}

describe('the clock of a log', () => {
  it.each([
    { name: 'the present', toldMs: noon - 400, estimated: false },
    { name: 'a clock that is a little ahead', toldMs: noon + seconds(2), estimated: false },
    { name: 'a statement of a few seconds', toldMs: noon - seconds(7), estimated: false },
    { name: 'a slow statement, or a session of the past', toldMs: noon - seconds(8.5), estimated: true },
    { name: '1970', toldMs: 0, estimated: true },
    { name: '2001', toldMs: Date.parse('2001-02-03T04:05:06Z'), estimated: true },
    { name: 'the future', toldMs: noon + seconds(3), estimated: true },
    { name: '2038', toldMs: 2_147_480_000_000, estimated: true },
  ])('while reading keeps up: $name (estimated: $estimated)', ({ toldMs, estimated }) => {
    const { clock } = clockAt(noon);
    clock.pass(noon - seconds(5));
    expect(clock.timeOf({ toldMs, arrivedMs: noon, isReplicated: false })).toEqual({
      committedAtMs: estimated ? noon : toldMs,
      isEstimated: estimated,
    });
  });

  it('while reading catches up takes the time of the transaction before, or what the log has proved since', () => {
    const { clock } = clockAt(noon, noon - seconds(3_600));
    clock.pass(noon - seconds(3_500));
    const told = (toldMs: number): number =>
      clock.timeOf({ toldMs, arrivedMs: noon, isReplicated: false }).committedAtMs;
    expect(told(Date.parse('2001-01-01T00:00:00Z'))).toBe(noon - seconds(3_500));
    expect(told(noon - seconds(3_000))).toBe(noon - seconds(3_000));
    expect(told(2_147_480_000_000)).toBe(noon - seconds(3_000));
    // One that lies in the past and that nothing disproves; those behind it are judged as before.
    expect(told(noon - seconds(100))).toBe(noon - seconds(100));
    expect(told(noon - seconds(2_900))).toBe(noon - seconds(2_900));
  });

  it('of what was in the log before a start takes the time of the transaction before, however soon it is read', () => {
    const { clock } = clockAt(noon, noon - seconds(30));
    clock.pass(noon - seconds(25));
    const told = (toldMs: number): number =>
      clock.timeOf({ toldMs, arrivedMs: noon, isReplicated: false, isBacklog: true }).committedAtMs;
    expect(told(2_147_480_000_000)).toBe(noon - seconds(25));
    expect(told(noon - seconds(20))).toBe(noon - seconds(20));
    expect(told(2_147_480_000_000)).toBe(noon - seconds(20));
    expect(told(Date.parse('2001-02-03T04:05:06Z'))).toBe(noon - seconds(20));
    // Where nothing is known of the time before, the present is the best guess, and never 1970.
    const unknown = clockAt(noon).clock;
    expect(unknown.timeOf({ toldMs: 0, arrivedMs: noon, isReplicated: false, isBacklog: true })).toEqual({
      committedAtMs: noon,
      isEstimated: true,
    });
  });

  it('believes no proof and no checkpoint that lie in the future', () => {
    const { clock } = clockAt(noon, 2_147_480_000_000);
    clock.pass(2_147_480_000_000);
    expect(clock.passedMs).toBeNull();
    clock.pass(noon - days(1));
    expect(clock.timeOf({ toldMs: 0, arrivedMs: noon, isReplicated: false }).committedAtMs).toBe(
      noon - days(1),
    );
  });

  it('follows a server whose clock is set back', () => {
    const { clock, set } = clockAt(noon);
    clock.pass(noon);
    set(noon - seconds(3_600));
    const toldMs = noon - seconds(3_600);
    expect(clock.timeOf({ toldMs, arrivedMs: noon - seconds(3_600), isReplicated: false })).toEqual({
      committedAtMs: toldMs,
      isEstimated: false,
    });
  });

  it.each([
    { name: 'a replica that is an hour behind', toldMs: noon - seconds(3_600), estimated: false },
    {
      name: 'a session of the past at its source',
      toldMs: Date.parse('2001-01-01T00:00:00Z'),
      estimated: true,
    },
    { name: 'a session of the future at its source', toldMs: noon + days(1), estimated: true },
  ])('of a replicated transaction: $name (estimated: $estimated)', ({ toldMs, estimated }) => {
    const { clock } = clockAt(noon);
    clock.pass(noon - seconds(1));
    expect(clock.timeOf({ toldMs, arrivedMs: noon, isReplicated: true })).toEqual({
      committedAtMs: estimated ? noon : toldMs,
      isEstimated: estimated,
    });
  });
});

describe('the commit time of a MySQL GTID event', () => {
  const micros = (ms: number): bigint => BigInt(ms) * 1_000n;
  it.each([
    { name: 'none', immediate: 0, original: 0, isReplicated: false, expected: undefined },
    { name: 'its own', immediate: noon, original: noon, isReplicated: false, expected: noon },
    { name: 'a source older than 8.0', immediate: noon, original: 0, isReplicated: true, expected: noon },
    {
      name: 'a replica',
      immediate: noon,
      original: noon - 60_000,
      isReplicated: true,
      expected: noon - 60_000,
    },
    {
      name: 'a source that is ahead',
      immediate: noon,
      original: noon + 60_000,
      isReplicated: true,
      expected: noon,
    },
    {
      name: 'a session of the past',
      immediate: noon,
      original: noon - 60_000,
      isReplicated: false,
      expected: noon,
    },
    { name: 'years ago', immediate: noon, original: noon - days(400), isReplicated: true, expected: noon },
  ])('$name', ({ immediate, original, isReplicated, expected }) => {
    const times = { immediateMicros: micros(immediate), originalMicros: micros(original) };
    expect(mysqlCommitMs(times, isReplicated)).toBe(expected);
  });
});

import { describe, expect, it } from 'vitest';
import { AppError } from '../../src/lib/errors.ts';
import { createLog } from '../../src/lib/log.ts';
import { createLoop } from '../../src/lib/loop/loop.ts';
import { FailureLog } from '../../src/lib/loop/failure-log.ts';
import { waitFor } from '../support/wait-for.ts';

const away = new Error('connect ECONNREFUSED');

function setUp() {
  const lines: Record<string, unknown>[] = [];
  let nowMs = 0;
  const log = createLog('info', { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  const outages = new FailureLog(log, () => nowMs);
  return {
    outages,
    lines,
    told: () => lines.map(({ msg, error }) => `${msg as string}: ${error as string}`),
    pass: (ms: number) => (nowMs += ms),
  };
}

describe('outages', () => {
  it('are logged once for all parts that share the reason, and once when the last of them works again', () => {
    const { outages, lines, pass } = setUp();
    const parts = ['upkeep', 'sealing', 'claiming'].map((what) => outages.part(what));
    for (let n = 0; n < 50; n += 1) {
      for (const part of parts) part.onError(away);
      pass(1_000);
    }
    expect(lines).toMatchObject([{ level: 'warn', msg: 'upkeep', error: away.message }]);
    parts[0]!.onRecovered();
    parts[1]!.onRecovered();
    expect(lines).toHaveLength(1);
    parts[2]!.onRecovered();
    for (const part of parts) part.onRecovered();
    expect(lines.slice(1)).toMatchObject([{ level: 'info', error: away.message, after_s: 50 }]);
    parts[1]!.onError(away);
    expect(lines[2]).toMatchObject({ level: 'warn', msg: 'sealing' });
  });

  it('are logged again at growing intervals while they last', () => {
    const { outages, lines, pass } = setUp();
    const part = outages.part('upkeep');
    for (let second = 0; second < 24 * 3_600; second += 1) {
      part.onError(away);
      pass(1_000);
    }
    expect(lines.slice(0, 5).map(({ for_s: seconds }) => seconds)).toEqual([undefined, 60, 180, 420, 900]);
    expect(lines.length).toBeLessThan(32);
  });

  it('of another reason are logged beside a lasting one, by the part that meets it', () => {
    const { outages, told } = setUp();
    const sealing = outages.part('sealing');
    const upkeep = outages.part('upkeep');
    sealing.onError(new Error('no key'));
    upkeep.onError(away);
    upkeep.onRecovered();
    upkeep.onError(away);
    upkeep.onError(new Error('read only'));
    expect(told()).toEqual([
      'sealing: no key',
      `upkeep: ${away.message}`,
      `the outage is over: ${away.message}`,
      `upkeep: ${away.message}`,
      'upkeep: read only',
    ]);
  });

  it('end with a line where only the line at an interval began them', () => {
    const { outages, told, pass } = setUp();
    const locked = new AppError('ERR_STORE_LOCKED', 'a lock was not granted');
    const parts = ['upkeep', 'sealing'].map((what) => outages.part(what));
    parts[0]!.onError(locked);
    pass(60_000);
    parts[1]!.onError(locked);
    for (const part of parts) part.onRecovered();
    expect(told()).toEqual(['sealing: a lock was not granted', 'the outage is over: a lock was not granted']);
  });

  it('are not logged for a lock that is free at the next try, and are when the same part meets it twice', () => {
    const { outages, lines, told } = setUp();
    const locked = new AppError('ERR_STORE_LOCKED', 'a lock was not granted');
    const parts = ['upkeep', 'sealing'].map((what) => outages.part(what));
    for (const part of parts) {
      part.onError(locked);
      expect(outages.present()).toEqual([]);
    }
    for (const part of parts) part.onRecovered();
    expect(told()).toEqual([]);
    parts[1]!.onError(locked);
    parts[1]!.onError(locked);
    expect(lines).toMatchObject([{ level: 'warn', msg: 'sealing', remedy: locked.remedy }]);
    expect(outages.present()).toEqual([{ message: 'sealing', error: locked }]);
    parts[1]!.onRecovered();
    expect(told().at(-1)).toBe('the outage is over: a lock was not granted');
    expect(outages.present()).toEqual([]);
  });

  it('of a loop are over with its first step that passes', async () => {
    const { outages, told } = setUp();
    let failures = 3;
    let steps = 0;
    const loop = createLoop({
      step() {
        steps += 1;
        return failures-- > 0 ? Promise.reject(away) : Promise.resolve(1);
      },
      ...outages.part('looking'),
      backoff: { firstMs: 1, maxMs: 1 },
    });
    loop.start();
    await waitFor(() => steps > 6);
    await loop.stop();
    expect(told()).toEqual([`looking: ${away.message}`, `the outage is over: ${away.message}`]);
  });
});

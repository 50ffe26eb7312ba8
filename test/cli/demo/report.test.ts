import { stripVTControlCharacters } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import type { DayStep } from '../../../src/demo/clinic-day.ts';
import type { ReceivedWebhook } from '../../../src/demo/receiver.ts';
import { createReport, type Report } from '../../../src/cli/demo/report.ts';

const types = ['appointment.scheduled', 'appointment.confirmed'];
const step: DayStep = {
  time: '08:30',
  label: 'Born confirmed',
  statements: [],
  expects: [
    { type: 'appointment.scheduled', data: { appointment_id: 6 } },
    { type: 'appointment.confirmed', data: { appointment_id: 6 } },
  ],
};

function webhook(type: string, over: Partial<ReceivedWebhook> = {}): ReceivedWebhook {
  const data = { appointment_id: 6, patient_name: 'Íñigo' };
  return { id: `evt_${type}`, type, data, receivedAtMs: 1_000, copy: 0, problem: undefined, ...over };
}
const scheduled = webhook('appointment.scheduled', { receivedAtMs: 1_004 });
const confirmed = webhook('appointment.confirmed', { receivedAtMs: 1_008 });

let lines: string[];
let report: Report;
beforeEach(() => {
  lines = [];
  report = createReport({
    types,
    patienceMs: 30,
    write: (line) => lines.push(stripVTControlCharacters(line)),
  });
});

async function play(webhooks: readonly ReceivedWebhook[]): Promise<string[]> {
  report.onBegin(step);
  const done = report.onCommit(step, 1_000);
  for (const one of webhooks) report.onWebhook(one);
  await done;
  return [...report.summary().problems];
}

/** The cells of the summary's row for a type. */
function row(type: string): string[] {
  const text = stripVTControlCharacters(report.summary().text);
  return text
    .split('\n')
    .find((line) => line.trimStart().startsWith(type))!
    .trim()
    .split(/\s{2,}/);
}

test('a day as promised has no problem, and a line with the latency for each webhook', async () => {
  expect(await play([scheduled, confirmed])).toEqual([]);
  expect(lines[0]).toBe('08:30  Born confirmed');
  expect(lines[1]).toMatch(/✓ appointment\.scheduled +appointment_id 6 +4\.0 ms +verified/);
  expect(lines[2]).toMatch(/✓ appointment\.confirmed +appointment_id 6 +8\.0 ms +verified/);
  expect(row('appointment.confirmed')).toEqual(['appointment.confirmed', '1', '1', '1', '8.0 ms']);
  expect(row('all')).toEqual(['all', '2', '2', '2', '6.0 ms']);
});

test('nothing of a payload but the number of the row is printed', async () => {
  await play([scheduled, confirmed]);
  expect(lines.join('\n') + report.summary().text).not.toContain('Íñigo');
});

test("a webhook that overtakes the commit's answer is shown after it, with latency 0", async () => {
  report.onBegin(step);
  report.onWebhook({ ...scheduled, receivedAtMs: 999 });
  expect(lines).toHaveLength(1);
  const done = report.onCommit(step, 1_000);
  report.onWebhook(confirmed);
  await done;
  expect(lines[1]).toMatch(/appointment\.scheduled .* 0\.0 ms/);
  expect(report.summary().problems).toEqual([]);
});

describe('told as a problem:', () => {
  test.each<[string, ReceivedWebhook[], string[]]>([
    ['a missing webhook', [scheduled], ['appointment.confirmed: 1 missing']],
    [
      'a second copy',
      [scheduled, confirmed, { ...confirmed, copy: 1 }],
      ['appointment.confirmed: 1 doubled'],
    ],
    [
      'the same event under another id',
      [scheduled, confirmed, { ...confirmed, id: 'evt_other' }],
      ['appointment.confirmed: 1 not expected'],
    ],
    [
      'an event of another row',
      [scheduled, { ...confirmed, data: { appointment_id: 7 } }],
      ['appointment.confirmed: 1 missing', 'appointment.confirmed: 1 not expected'],
    ],
    [
      'an event that the catalogue lacks',
      [scheduled, confirmed, webhook('tooth.lost')],
      ['tooth.lost: 1 not expected'],
    ],
    [
      'a signature that does not hold',
      [scheduled, { ...confirmed, problem: 'forged' }],
      ['appointment.confirmed: 1 not verified'],
    ],
    [
      'the wrong order',
      [confirmed, scheduled],
      ['appointment.confirmed: 1 before an earlier event of the same row'],
    ],
  ])('%s', async (_name, webhooks, problems) => {
    expect(await play(webhooks)).toEqual(problems);
  });

  test('an event that the day never caused', () => {
    expect(report.summary().problems).toEqual([
      'appointment.scheduled: was never caused',
      'appointment.confirmed: was never caused',
    ]);
  });
});

test('an abort ends the wait for webhooks', async () => {
  const stop = new AbortController();
  const patient = createReport({ types, patienceMs: 3_600_000, signal: stop.signal, write: () => undefined });
  patient.onBegin(step);
  const done = patient.onCommit(step, 1_000);
  stop.abort();
  await done;
  expect(patient.summary().problems).toHaveLength(2);
});

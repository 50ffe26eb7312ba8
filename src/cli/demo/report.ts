import { sleep } from '../../lib/clock.ts';
import { styled } from '../terminal/styled.ts';
import { formatTable } from '../terminal/table.ts';
import type { DayObserver, ExpectedEvent } from '../../demo/clinic-day.ts';
import type { ReceivedWebhook } from '../../demo/receiver.ts';

export interface ReportOptions {
  /** Every event type that must be seen at least once, in the order of the summary. */
  types: readonly string[];
  write: (line: string) => void;
  /** How long a step waits for its webhooks before the day continues without them. Default 15 s. */
  patienceMs?: number;
  signal?: AbortSignal;
}

interface Summary {
  /** The table of every event, ready to print. */
  text: string;
  /** One sentence each; empty if every expected webhook was received and verified exactly once. */
  problems: readonly string[];
}

/** Follows the day and the receiver, prints both as they happen, and compares them at the end. */
export interface Report extends DayObserver {
  onWebhook(webhook: ReceivedWebhook): void;
  summary(): Summary;
}

interface Expectation extends ExpectedEvent {
  step: Progress;
  webhook?: ReceivedWebhook;
  /** It came before an earlier event of the same step: the events of a step concern one row, whose order is guaranteed. */
  early?: boolean;
}

interface Progress {
  committedAtMs: number | undefined;
  open: number;
  settled: PromiseWithResolvers<void>;
}

/** The received webhooks by kind: expected, duplicate, or unexpected. */
interface Ledger {
  expectations: Expectation[];
  doubles: ReceivedWebhook[];
  strangers: ReceivedWebhook[];
}

/**
 * Builds the observer of `playDay` and of the receiver. Latency is measured from the return of the commit to the last byte of
 * the webhook, both on this process's monotonic clock; if a webhook arrives before the commit returns, its latency counts as 0.
 */
export function createReport({ types, write, patienceMs = 15_000, signal }: ReportOptions): Report {
  const ledger: Ledger = { expectations: [], doubles: [], strangers: [] };
  let current: Progress | undefined;

  function show({ type, data, step, webhook }: Expectation): void {
    if (!webhook || step.committedAtMs === undefined) return;
    const mark = webhook.problem === undefined ? styled('green', '✓') : styled('red', '✗');
    const latency = formatMs(latencyOf(webhook, step.committedAtMs));
    const reason = webhook.problem === undefined ? 'verified' : webhook.problem;
    write(`       ${mark} ${type.padEnd(24)} ${keyOf(data).padEnd(20)} ${latency.padStart(9)}  ${reason}`);
  }

  return {
    onBegin(step) {
      write(`${styled('bold', step.time)}  ${step.label}`);
      const progress: Progress = {
        committedAtMs: undefined,
        open: step.expects.length,
        settled: Promise.withResolvers(),
      };
      current = progress;
      ledger.expectations.push(...step.expects.map((expected) => ({ ...expected, step: progress })));
    },

    async onCommit(_step, atMs) {
      const progress = current!;
      progress.committedAtMs = atMs;
      for (const expectation of ledger.expectations) if (expectation.step === progress) show(expectation);
      if (progress.open === 0) return;
      const enough = new AbortController();
      const limits = signal ? [signal, enough.signal] : [enough.signal];
      await Promise.race([progress.settled.promise, sleep(patienceMs, AbortSignal.any(limits))]);
      enough.abort();
    },

    onWebhook(webhook) {
      if (webhook.copy > 0) {
        ledger.doubles.push(webhook);
        write(`       ${styled('red', '✗')} ${webhook.type} came again: ${webhook.id}`);
        return;
      }
      const expectation = ledger.expectations.find(
        (one) => one.webhook === undefined && isMatch(one, webhook),
      );
      if (!expectation) {
        ledger.strangers.push(webhook);
        write(`       ${styled('red', '✗')} ${webhook.type} was not expected: ${webhook.id}`);
        return;
      }
      const earlier = ledger.expectations.filter(({ step }) => step === expectation.step);
      expectation.early = earlier
        .slice(0, earlier.indexOf(expectation))
        .some((one) => one.webhook === undefined);
      expectation.webhook = webhook;
      show(expectation);
      expectation.step.open -= 1;
      if (expectation.step.open === 0) expectation.step.settled.resolve();
    },

    summary: () => summarise(types, ledger),
  };
}

function isMatch({ type, data }: ExpectedEvent, webhook: ReceivedWebhook): boolean {
  return (
    type === webhook.type && Object.entries(data).every(([field, value]) => webhook.data[field] === value)
  );
}

/** The first field identifies the row. Nothing else of a payload is printed. */
function keyOf(data: ExpectedEvent['data']): string {
  const [field, value] = Object.entries(data)[0] ?? ['', ''];
  return `${field} ${value}`;
}

const latencyOf = (webhook: ReceivedWebhook, committedAtMs: number): number =>
  Math.max(0, webhook.receivedAtMs - committedAtMs);

const formatMs = (ms: number | undefined): string => (ms === undefined ? '–' : `${ms.toFixed(1)} ms`);

function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  return upper === undefined || lower === undefined ? undefined : (upper + lower) / 2;
}

interface Tally {
  type: string;
  expected: number;
  received: number;
  verified: number;
  missing: number;
  doubled: number;
  unexpected: number;
  early: number;
  latencies: readonly number[];
}

function tally(type: string, { expectations, doubles, strangers }: Ledger): Tally {
  const own = expectations.filter((expectation) => expectation.type === type);
  const met = own.flatMap(({ webhook, step }) => (webhook ? [{ webhook, step }] : []));
  const doubled = doubles.filter((webhook) => webhook.type === type);
  const unexpected = strangers.filter((webhook) => webhook.type === type);
  const received = [...met.map(({ webhook }) => webhook), ...doubled, ...unexpected];
  return {
    type,
    expected: own.length,
    received: received.length,
    verified: received.filter(({ problem }) => problem === undefined).length,
    missing: own.length - met.length,
    doubled: doubled.length,
    unexpected: unexpected.length,
    early: own.filter(({ early }) => early === true).length,
    latencies: met.flatMap(({ webhook, step }) =>
      step.committedAtMs === undefined ? [] : [latencyOf(webhook, step.committedAtMs)],
    ),
  };
}

function summarise(types: readonly string[], ledger: Ledger): Summary {
  const others = [...ledger.expectations, ...ledger.strangers].map(({ type }) => type);
  const rows = [...new Set([...types, ...others])].map((type) => tally(type, ledger));
  const sum = (field: Exclude<keyof Tally, 'type' | 'latencies'>) =>
    rows.reduce((n, row) => n + row[field], 0);
  const total: Tally = {
    type: 'all',
    expected: sum('expected'),
    received: sum('received'),
    verified: sum('verified'),
    missing: sum('missing'),
    doubled: sum('doubled'),
    unexpected: sum('unexpected'),
    early: sum('early'),
    latencies: rows.flatMap(({ latencies }) => latencies),
  };
  const text = formatTable(
    ['event', 'expected', 'received', 'verified', 'median latency'],
    [...rows, total].map(({ type, expected, received, verified, latencies }) => [
      ...[type, expected, received, verified],
      formatMs(median(latencies)),
    ]),
  );
  return { text, problems: rows.flatMap(problemsOf) };
}

function problemsOf(row: Tally): string[] {
  const problems: string[] = [];
  if (row.expected === 0 && row.received === 0) problems.push('was never caused');
  if (row.missing > 0) problems.push(`${row.missing} missing`);
  if (row.doubled > 0) problems.push(`${row.doubled} doubled`);
  if (row.unexpected > 0) problems.push(`${row.unexpected} not expected`);
  if (row.early > 0) problems.push(`${row.early} before an earlier event of the same row`);
  if (row.verified < row.received) problems.push(`${row.received - row.verified} not verified`);
  return problems.map((problem) => `${row.type}: ${problem}`);
}

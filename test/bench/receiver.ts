import { createServer, type AddressInfo, type Socket } from 'node:net';
import { verifyWebhookSignature } from '../../src/index.ts';
import { sleep } from '../../src/lib/clock.ts';

/** One request as received. */
interface Arrival {
  path: string;
  head: string;
  body: Buffer;
  atMs: number;
}

export interface Verdict {
  /** Requests, by path. */
  counts: Record<string, number>;
  /** Requests with an id that had arrived before at the same path. */
  doubled: number;
  /** Requests whose signature is not valid. */
  unverified: number;
  /** Refunds of a payment that had not been received before, at the same path. */
  outOfOrder: number;
  firstMs: number;
  lastMs: number;
}

/** Milliseconds of the machine's monotonic clock: the same in all processes. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

const answerBytes = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');

/**
 * A receiver with minimal cost, so that the sender is measured: it stores the requests and examines them only for a verdict.
 * Answers after `delayMs`.
 */
export function createReceiver() {
  let arrivals: Arrival[] = [];
  let delayMs = 0;
  let keep = true;
  let count = 0;

  function onConnection(socket: Socket): void {
    let rest: Buffer = Buffer.alloc(0);
    const answer = (): void => {
      if (!socket.destroyed) socket.write(answerBytes);
    };
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (;;) {
        const request = takeRequest(rest);
        if (!request) return;
        rest = request.rest;
        count += 1;
        if (keep) arrivals.push(request.arrival);
        if (delayMs === 0) answer();
        else void sleep(delayMs).then(answer);
      }
    });
  }

  return {
    async listen(): Promise<{ port: number }> {
      const server = createServer(onConnection);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return { port: (server.address() as AddressInfo).port };
    },
    /** Discards the stored requests. */
    reset(options: { delayMs?: number; keep?: boolean }): Promise<void> {
      arrivals = [];
      count = 0;
      delayMs = options.delayMs ?? 0;
      keep = options.keep ?? true;
      return Promise.resolve();
    },
    count: () => Promise.resolve(count),
    async untilCount(wanted: number): Promise<void> {
      while (count < wanted) await sleep(1);
    },
    judge: ({ secret }: { secret: string }) => Promise.resolve(judgeArrivals(arrivals, secret)),
    /** The arrival time of each payment's first webhook, by the payment's id. */
    paymentTimes: () =>
      Promise.resolve(
        new Map(
          arrivals.toReversed().map(({ body, atMs }) => [Number(paymentOf(body.toString())), atMs] as const),
        ),
      ),
  };
}

export type Receiver = ReturnType<typeof createReceiver>;

function takeRequest(buffer: Buffer): { arrival: Arrival; rest: Buffer } | undefined {
  const headEnd = buffer.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = buffer.toString('latin1', 0, headEnd);
  const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
  const end = headEnd + 4 + length;
  if (buffer.length < end) return undefined;
  const path = head.slice(head.indexOf(' ') + 1, head.indexOf(' ', 5));
  return {
    arrival: { path, head, body: buffer.subarray(headEnd + 4, end), atMs: machineMs() },
    rest: buffer.subarray(end),
  };
}

const paymentOf = (body: string): string => /"payment_id":(\d+)/.exec(body)?.[1] ?? '';

function judgeArrivals(arrivals: readonly Arrival[], secret: string): Verdict {
  const verdict: Verdict = {
    counts: {},
    doubled: 0,
    unverified: 0,
    outOfOrder: 0,
    firstMs: arrivals[0]?.atMs ?? 0,
    lastMs: arrivals.at(-1)?.atMs ?? 0,
  };
  const seen = new Set<string>();
  const received = new Set<string>();
  for (const { path, head, body } of arrivals) {
    verdict.counts[path] = (verdict.counts[path] ?? 0) + 1;
    const headers = headersOf(head);
    const key = `${path} ${headers['webhook-id']}`;
    if (seen.has(key)) verdict.doubled += 1;
    seen.add(key);
    if (!verifyWebhookSignature({ body, headers, secret, toleranceSeconds: 3_600, allowLegacy: true }))
      verdict.unverified += 1;
    const text = body.toString();
    const payment = `${path} ${paymentOf(text)}`;
    if (text.includes('"payment.received"')) received.add(payment);
    else if (text.includes('"payment.refunded"') && !received.has(payment)) verdict.outOfOrder += 1;
  }
  return verdict;
}

function headersOf(head: string): Record<string, string> {
  return Object.fromEntries(
    head
      .split('\r\n')
      .slice(1)
      .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
  );
}

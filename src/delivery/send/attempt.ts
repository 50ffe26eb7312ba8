import type { Dispatcher } from 'undici';
import { monotonicMs, systemClock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { SentOn } from './connection-watch.ts';
import { AttemptError, toFailure } from './failure.ts';
import { ForbiddenAddressError } from './guard.ts';
import { parseRetryAfter } from '../schedule/retry.ts';
import type { Outcome } from '../types.ts';

/** Maximum number of bytes of a response's body that are read. */
const maximumResponseBytes = 16_384;
/** More interim responses (1xx) than this are treated as an attack. */
const maximumInterimResponses = 16;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/**
 * One request in flight, as an undici handler: the cheapest way to a response (no stream, no promise in between), and the only one that can cut the
 * response off after 16 KiB and at the deadline. It settles once: at the end of the response, after 16 KiB, on an error or at the deadline, whichever
 * comes first; later events are ignored.
 *
 *   waiting for a connection → sent → headers → body → settled
 *          └───────────┴─────────┴────────┴── deadline, error → settled
 */
export class Attempt implements Dispatcher.DispatchHandler {
  readonly #startedMs = monotonicMs();
  readonly #deadline: NodeJS.Timeout;
  readonly #sentOn: SentOn;
  readonly #settle: (outcome: Outcome) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #settled = false;
  #interimResponses = 0;
  #status = 0;
  #retryAfter: string | undefined;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(timeoutMs: number, sentOn: SentOn, settle: (outcome: Outcome) => void) {
    this.#sentOn = sentOn;
    this.#settle = settle;
    this.#deadline = setTimeout(() => {
      this.#cut(new AttemptError('ERR_DEADLINE', `no complete answer within ${timeoutMs} ms`));
    }, timeoutMs);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // The deadline passed while the connection was still being opened: nothing is sent any more.
    if (this.#settled) controller.abort(new AttemptError('ERR_DEADLINE', 'too late'));
    else this.#controller = controller;
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    if (status < 200) {
      this.#interimResponses += 1;
      if (this.#interimResponses > maximumInterimResponses) {
        this.#cut(new AttemptError('ERR_RESPONSE', `more than ${maximumInterimResponses} interim responses`));
      }
      return;
    }
    this.#status = status;
    const retryAfter = headers['retry-after'];
    if (retryAfter !== undefined)
      this.#retryAfter = typeof retryAfter === 'string' ? retryAfter : retryAfter[0];
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes <= maximumResponseBytes) return;
    // The status is known; a response that exceeds the read limit costs the connection.
    this.#finish(this.#answer());
    controller.abort(new AttemptError('ERR_READ_ENOUGH', 'read enough'));
  }

  onResponseEnd(): void {
    this.#finish(this.#answer());
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (!this.#settled) this.#finish(this.#failure(error));
  }

  #cut(error: AttemptError): void {
    this.#finish(this.#failure(error));
    this.#controller?.abort(error);
  }

  #finish(outcome: Outcome): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#deadline);
    this.#chunks = [];
    this.#settle(outcome);
  }

  #failure(error: Error): Outcome {
    const durationMs = monotonicMs() - this.#startedMs;
    if (error instanceof ForbiddenAddressError) {
      return { kind: 'forbidden', message: messageOf(error), durationMs };
    }
    const failed = { kind: 'failed', ...toFailure(error), durationMs } as const;
    if (this.#status !== 0) return { ...failed, status: this.#status };
    const died = failed.reason === 'reset' && this.#sentOn.isSilentReuse();
    return died ? { ...failed, idleConnectionDied: true } : failed;
  }

  #answer(): Outcome {
    const status = this.#status;
    const responseBody = this.#body();
    const durationMs = monotonicMs() - this.#startedMs;
    if (status >= 200 && status < 300) return { kind: 'delivered', status, responseBody, durationMs };
    if (status === 410) return { kind: 'gone', status, responseBody, durationMs };
    const retryAfterMs = parseRetryAfter(this.#retryAfter, systemClock.now());
    const rejected = { kind: 'rejected', status, responseBody, durationMs } as const;
    return retryAfterMs === undefined ? rejected : { ...rejected, retryAfterMs };
  }

  #body(): string {
    const [first] = this.#chunks;
    if (first === undefined) return '';
    const bytes = this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks);
    return bytes.toString('utf8', 0, Math.min(bytes.length, maximumResponseBytes));
  }
}

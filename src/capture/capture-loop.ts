import { countReplicas } from '../binlog/source/count-replicas.ts';
import { HaltError, type Halt } from '../binlog/halt.ts';
import type { Source } from '../binlog/source/source.ts';
import { openStream, type BinlogStream } from '../binlog/stream.ts';
import type { Baseline } from '../binlog/types.ts';
import type { Config } from '../config/types.ts';
import { leaseTiming, type Lease } from '../db/connection/lease.ts';
import type { Installation } from '../db/schema/installation.ts';
import { AppError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { createLoop, type Background, type Loop } from '../lib/loop/loop.ts';
import type { FailureLog, FailureReporter } from '../lib/loop/failure-log.ts';
import { openAppender, type Appender } from '../outbox/append/append.ts';
import { endHalt, readCaptureState } from '../outbox/checkpoint.ts';
import type { CaptureState, Claimant, Subscription } from '../outbox/types.ts';
import { createIdleHolderWatch, withCaptureLease } from './capture-lease.ts';
import { capture, type CaptureOptions } from './capture.ts';
import type { CascadeWatch } from './cascade-watch.ts';
import { nameOfRules, type CompiledSource } from './compiled-source.ts';
import { closeCapture } from './close-capture.ts';
import { firstStatus, nextStatus, type CaptureEvent, type CaptureStatus } from './capture-status.ts';
import { CurrentReader } from './loop/current-reader.ts';
import { isAccepted } from './loop/is-accepted.ts';
import { recordAndAnnounceHalt } from './halt-event.ts';
import type { SecondReading } from './second-reading.ts';
import { verifyCheckpoint } from './resume-position.ts';
import { readingOptions } from './reading-options.ts';

export interface CaptureLoopOptions {
  config: Config;
  source: Source;
  installation: Installation;
  claimant: Claimant;
  log: Log;
  outages: FailureLog;
  webhooks(): readonly Subscription[];
  /** Reads the live schema anew and compiles the rules against it: at every connect. */
  reload(baseline: Baseline): Promise<CompiledSource>;
  /** Called when a reader was opened in place of another. */
  onReconnected(): void;
  /** Called when a delivery became due without being handed over: it must be claimed. */
  onDue(): void;
  secondReading: SecondReading;
  steps: Omit<
    CaptureOptions,
    'appender' | 'baseline' | 'cascades' | 'live' | 'onMoved' | 'place' | 'serverUuid'
  > & {
    cascades: CascadeWatch;
  };
}

export interface CaptureLoop extends Background {
  status(): CaptureStatus;
  /** Opens a new reader from the checkpoint, because the tables or columns to read have changed. */
  reopen(): void;
  /** Call it after `stop`, and after the last write of every other part to the store: see closeCapture. */
  close(): Promise<void>;
}

export function createCaptureLoop(options: CaptureLoopOptions): CaptureLoop {
  return new ReadingLoop(options);
}

/** Captures while this process has the lease: one reader after another, each from the checkpoint. It retries while halted. */
class ReadingLoop implements CaptureLoop {
  readonly #options: CaptureLoopOptions;
  readonly #outage: FailureReporter;
  readonly #renewal: FailureReporter;
  readonly #idleHolder: ReturnType<typeof createIdleHolderWatch>;
  readonly #loop: Loop;
  readonly #reader = new CurrentReader();
  #status = firstStatus;
  /** From the checkpoint at which the present reader began. */
  #epoch = 0;
  /** See AssemblerOptions. */
  #trustedFile = '';
  /** Set while another reader may use our server id: otherwise the two would disconnect each other forever. */
  #displaced: AppError | undefined;

  constructor(options: CaptureLoopOptions) {
    const { claimant, log, outages } = options;
    this.#options = options;
    this.#outage = outages.part('capture was interrupted, trying again');
    this.#renewal = outages.part('the capture lease could not be extended');
    this.#idleHolder = createIdleHolderWatch(claimant.store, log);
    this.#loop = createLoop({
      step: (signal) => this.#step(signal),
      onError: (error) => {
        this.#note({ kind: 'failed', error });
        this.#outage.onError(error);
      },
      backoff: { firstMs: 100, maxMs: 5_000 },
    });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  close(): Promise<void> {
    return closeCapture({ ...this.#options, hasCaptured: this.#status.role === 'capturing' });
  }

  status(): CaptureStatus {
    return { ...this.#status, ...this.#reader.progress() };
  }

  reopen(): void {
    this.#reader.reopen();
  }

  #note(event: CaptureEvent): void {
    this.#status = nextStatus(this.#status, event);
  }

  async #step(signal: AbortSignal): Promise<number> {
    const { claimant, log } = this.#options;
    const had = await withCaptureLease({ claimant, log, reports: this.#renewal, signal }, (lease, held) =>
      this.#captureWhile(lease, held),
    );
    if (had) return 0;
    this.#note({ kind: 'standby' });
    this.#note({ kind: 'blocked', by: await this.#idleHolder.look() });
    this.#outage.onRecovered();
    // Another process has the lease.
    this.#renewal.onRecovered();
    return leaseTiming.pollMs;
  }

  async #captureWhile(lease: Lease, signal: AbortSignal): Promise<void> {
    this.#note({ kind: 'connecting' });
    const appender = await openAppenderFor(this.#options, lease);
    try {
      while (!signal.aborted) await this.#readOnce(appender, signal);
    } catch (error) {
      this.#displaced = error instanceof AppError && error.code === 'ERR_SERVER_ID_TAKEN' ? error : undefined;
      if (!(error instanceof HaltError)) throw error;
      await this.#waitHalted(error, signal);
    } finally {
      await this.#options.secondReading.pause();
      await appender.close();
    }
  }

  /** The life of one reader. Ends without an error when it is closed. */
  async #readOnce(appender: Appender, signal: AbortSignal): Promise<void> {
    this.#note({ kind: 'connecting' });
    const { asked } = this.#reader;
    const state = await readCaptureState(this.#options.claimant.store);
    this.#epoch = state.epoch;
    // The gap was accepted during another try: a failure from here on is not that halt.
    if (this.#status.halt && !state.halt) this.#note({ kind: 'resumed' });
    const reopen = (): void => this.reopen();
    const trustedFile = this.#trustedFile;
    const prepared = await prepareReading(this.#options, { state, appender, signal, trustedFile, reopen });
    const { clinic, streaming } = prepared;
    await this.#requireOwnServerId(clinic, streaming.serverId);
    const stream = await openStream(streaming);
    await this.#reader.use(stream, { signal, asked }, async () => {
      await this.#noteCapturing(state, prepared);
      this.#trustedFile = await this.#capture(stream, prepared, appender);
    });
  }

  async #requireOwnServerId({ identity }: CompiledSource, serverId: number): Promise<void> {
    if (this.#displaced && (await countReplicas(this.#options.source, identity, serverId)) !== 0)
      throw this.#displaced;
    this.#displaced = undefined;
  }

  async #noteCapturing({ halt }: CaptureState, { clinic, proven }: Prepared): Promise<void> {
    const { log } = this.#options;
    if (this.#status.readers > 0) this.#options.onReconnected();
    this.#note({ kind: 'capturing' });
    const { file, offset } = proven.checkpoint.position;
    // An edit of the rules takes effect here: it applies to every transaction after this position, and to none before.
    log.info({ file, offset, server: clinic.identity.hostname, rules: nameOfRules(clinic) }, 'capturing');
    // This proves the log as a whole; for a transaction or a table it proves only that it was read.
    if (halt?.transactionId === null && halt.reason !== 'column-changed') {
      await endGoneHalt(this.#options, this.#epoch);
      this.#note({ kind: 'resumed' });
    }
  }

  /** Returns the file that is known to be complete, as `capture` does. */
  #capture(stream: BinlogStream, { clinic, proven }: Prepared, appender: Appender): Promise<string> {
    const { checkpoint, ...shown } = proven;
    const { steps, secondReading } = this.#options;
    return capture(stream, checkpoint, {
      ...steps,
      appender,
      serverUuid: clinic.identity.serverUuid,
      ...shown,
      onRead: (parts) => secondReading.take(parts),
      onMoved: () => {
        this.#note({ kind: 'moved' });
        this.#outage.onRecovered();
      },
    });
  }

  async #waitHalted(halted: HaltError, signal: AbortSignal): Promise<void> {
    const { halt } = halted;
    const { claimant, log } = this.#options;
    // Every retry halts again, but only the first halt is logged.
    if (this.#status.halt?.message !== halt.message)
      log.error({ reason: halt.reason, table: halt.table, remedy: halt.remedy }, halt.message);
    this.#note({ kind: 'halted', halt });
    await announceHalt(this.#options, halt, this.#epoch);
    const { asked } = this.#reader;
    const isHalted = (): boolean => !signal.aborted && this.#reader.asked === asked;
    if (await isAccepted({ claimant, epoch: this.#epoch, signal, halted }, isHalted)) {
      this.#note({ kind: 'resumed' });
      log.info({}, 'capture resumes: the gap was accepted');
    }
  }
}

type Prepared = Awaited<ReturnType<typeof prepareReading>>;

interface Preparing {
  state: CaptureState;
  appender: Appender;
  signal: AbortSignal;
  trustedFile: string;
  reopen(): void;
}

/** Verifies the checkpoint, and reads what the reader must know to continue after it. All answers come from one server. */
async function prepareReading(
  options: CaptureLoopOptions,
  { state, appender, signal, trustedFile, reopen }: Preparing,
) {
  const { secondReading, source, steps } = options;
  source.renew();
  const clinic = await options.reload(state.baseline);
  const { byFile, ...proven } = await verifyCheckpoint({ ...options, clinic, state, appender });
  const { position } = proven.checkpoint;
  const isFirst = state.checkpoint === null;
  await secondReading.begin(clinic, { position, isFirst, signal, onDifference: reopen });
  const parents = await steps.cascades.begin(state.keys);
  const known = { ...state, ...proven, byFile, parents, trustedFile };
  return { clinic, proven, streaming: readingOptions(options, clinic, known) };
}

async function announceHalt(
  { claimant, installation, steps, onDue }: CaptureLoopOptions,
  halt: Halt,
  epoch: number,
): Promise<void> {
  const { cipher, store } = claimant;
  const halting = { installation: installation.uuid, epoch, cipher, route: steps.mapping().route };
  if ((await store.transaction((tx) => recordAndAnnounceHalt(tx, halt, halting))) > 0) onDue();
}

async function endGoneHalt(
  { claimant, log }: Pick<CaptureLoopOptions, 'claimant' | 'log'>,
  epoch: number,
): Promise<void> {
  await endHalt(claimant.store, epoch);
  log.info({}, 'the cause of the halt is gone');
}

function openAppenderFor(
  { claimant, outages, ...options }: CaptureLoopOptions,
  lease: Lease,
): Promise<Appender> {
  return openAppender(claimant, {
    fence: lease.token,
    webhooks: options.webhooks(),
    onDue: () => options.onDue(),
    ...outages.part('waiting deliveries were not looked after'),
  });
}

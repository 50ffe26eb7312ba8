import { countReaders } from '../binlog/source/count-readers.ts';
import { HaltError, type Halt } from '../binlog/halt.ts';
import type { Source } from '../binlog/source/source.ts';
import { openStream, type BinlogStream } from '../binlog/stream.ts';
import type { Baseline } from '../binlog/types.ts';
import type { Config } from '../config/types.ts';
import { leaseTiming, type Lease } from '../db/connection/lease.ts';
import type { Installation } from '../db/schema/installation.ts';
import { monotonicMs, sleep } from '../lib/clock.ts';
import { AppError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { createLoop, type Background } from '../lib/loop/loop.ts';
import type { Outages } from '../lib/loop/outages.ts';
import { openAppender, type Appender } from '../outbox/append/append.ts';
import { isPacketRaised } from '../outbox/append/require-fit.ts';
import { endHalt, readCaptureState } from '../outbox/checkpoint.ts';
import type { CaptureState, Claimant, Subscription } from '../outbox/types.ts';
import { createIdleHolderWatch, withCaptureLease } from './capture-lease.ts';
import { capture, type CaptureOptions } from './capture.ts';
import type { CascadeWatch } from './cascade-watch.ts';
import { nameOfRules, type Clinic } from './clinic.ts';
import { closeCapture } from './close-capture.ts';
import { firstStatus, nextStatus, type CaptureEvent, type CaptureStatus } from './capture-status.ts';
import { recordAndAnnounceHalt } from './halt-event.ts';
import type { SecondReading } from './second-reading.ts';
import { provenCheckpoint } from './proven-checkpoint.ts';
import { readingOptions } from './reading-options.ts';

/** While halted, the checkpoint is looked at so often: a person may have accepted the gap, which takes effect within 2 s. */
const HALT_POLL_MS = 1_000;
/** And so often reading is tried again: the cause may be gone. A raised max_allowed_packet is looked for at each poll. */
const HALT_RETRY_MS = 30_000;

export interface CaptureLoopOptions {
  config: Config;
  source: Source;
  installation: Installation;
  claimant: Claimant;
  log: Log;
  outages: Outages;
  webhooks(): readonly Subscription[];
  /** Reads the live schema anew and compiles the rules against it: at every connect. */
  reload(baseline: Baseline): Promise<Clinic>;
  /** A reader was opened in place of another. */
  onReconnected(): void;
  /** A delivery became due without being handed over: it is to be claimed. */
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
  /** Opens a new reader from the checkpoint: what is to be read has changed. */
  reopen(): void;
  /** After `stop`, and after every other part has written to the store for the last time: see closeCapture. */
  close(): Promise<void>;
}

export function createCaptureLoop(options: CaptureLoopOptions): CaptureLoop {
  const { claimant, log, outages } = options;
  const outage = outages.part('capture was interrupted, trying again');
  const renewal = outages.part('the capture lease could not be extended');
  let status = firstStatus;
  const idleHolder = createIdleHolderWatch(claimant.store, log);
  let reader: BinlogStream | undefined;
  /** How often another reader was asked for: one that is just being opened may have begun with what was in force before. */
  let asked = 0;
  /** Of the checkpoint that the present reader began from. */
  let epoch = 0;

  /** See AssemblerOptions. */
  let trustedFile = '';
  /** Set while another reader may have our server id: connecting would throw that one out, and it us, for ever. */
  let displaced: AppError | undefined;

  function note(event: CaptureEvent): void {
    status = nextStatus(status, event);
  }

  async function step(signal: AbortSignal): Promise<number> {
    if (await withCaptureLease({ claimant, log, reports: renewal, signal }, captureWhile)) return 0;
    note({ kind: 'standby' });
    note({ kind: 'blocked', by: await idleHolder.look() });
    outage.onRecovered();
    // The lease is another process's.
    renewal.onRecovered();
    return leaseTiming.pollMs;
  }

  async function captureWhile(lease: Lease, signal: AbortSignal): Promise<void> {
    note({ kind: 'connecting' });
    const appender = await openAppenderFor(options, lease);
    try {
      while (!signal.aborted) await readOnce(appender, signal);
    } catch (error) {
      displaced = error instanceof AppError && error.code === 'ERR_SERVER_ID_TAKEN' ? error : undefined;
      if (!(error instanceof HaltError)) throw error;
      await halted(error.halt, signal);
    } finally {
      await options.secondReading.pause();
      await appender.close();
    }
  }

  /** The life of one reader. Ends without an error when it is closed. */
  async function readOnce(appender: Appender, signal: AbortSignal): Promise<void> {
    note({ kind: 'connecting' });
    const askedBefore = asked;
    const state = await readCaptureState(claimant.store);
    epoch = state.epoch;
    // Accepted while another try was under way: what fails from here on is not that halt.
    if (status.halt && !state.halt) note({ kind: 'resumed' });
    const prepared = await prepareReading(options, { state, appender, signal, trustedFile, reopen });
    const { clinic, streaming, checkpoint, ...shown } = prepared;
    if (displaced && (await countReaders(options.source, clinic.identity, streaming.serverId)) !== 0)
      throw displaced;
    displaced = undefined;
    const opened = await openStream(streaming);
    reader = opened;
    const close = (): void => opened.close();
    signal.addEventListener('abort', close, { once: true });
    if (signal.aborted || asked !== askedBefore) close();
    if (status.readers > 0) options.onReconnected();
    note({ kind: 'capturing' });
    const { file, offset } = checkpoint.position;
    // Where an edit of the rules takes effect: it decides about every transaction behind this position, and about none before.
    log.info({ file, offset, server: clinic.identity.hostname, rules: nameOfRules(clinic) }, 'capturing');
    // Of the log as a whole this is the proof; of a transaction or a table, only that it was read.
    if (state.halt?.transactionId === null && state.halt.reason !== 'column-changed') {
      await endGoneHalt(options, epoch);
      note({ kind: 'resumed' });
    }
    try {
      trustedFile = await capture(opened, checkpoint, {
        ...options.steps,
        appender,
        serverUuid: clinic.identity.serverUuid,
        ...shown,
        onRead: (parts) => options.secondReading.take(parts),
        onMoved() {
          note({ kind: 'moved' });
          outage.onRecovered();
        },
      });
    } finally {
      signal.removeEventListener('abort', close);
      close();
      reader = undefined;
    }
  }

  function reopen(): void {
    asked += 1;
    reader?.close();
  }

  async function halted(halt: Halt, signal: AbortSignal): Promise<void> {
    // It is tried again and again: said once.
    if (status.halt?.message !== halt.message)
      log.error({ reason: halt.reason, table: halt.table, remedy: halt.remedy }, halt.message);
    note({ kind: 'halted', halt });
    await announceHalt(options, halt, epoch);
    const askedBefore = asked;
    const isHalted = (): boolean => !signal.aborted && asked === askedBefore;
    if (await isAccepted({ claimant, epoch, signal, halt }, isHalted)) {
      note({ kind: 'resumed' });
      log.info({}, 'capture resumes: the gap was accepted');
    }
  }

  const loop = createLoop({
    step,
    onError(error) {
      note({ kind: 'failed', error });
      outage.onError(error);
    },
    backoff: { firstMs: 100, maxMs: 5_000 },
  });

  return {
    start: () => loop.start(),
    stop: () => loop.stop(),
    close: () => closeCapture({ ...options, hasCaptured: status.role === 'capturing' }),
    status: () => ({ ...status, ...toldBy(reader) }),
    reopen,
  };
}

interface Preparing {
  state: CaptureState;
  appender: Appender;
  signal: AbortSignal;
  trustedFile: string;
  reopen(): void;
}

/** Proves the checkpoint, and finds out what must be known to read on behind it. All answers are of one server. */
async function prepareReading(
  options: CaptureLoopOptions,
  { state, appender, signal, trustedFile, reopen }: Preparing,
) {
  const { secondReading, source, steps } = options;
  source.renew();
  const clinic = await options.reload(state.baseline);
  const { byFile, ...proven } = await provenCheckpoint({ ...options, clinic, state, appender });
  const { position } = proven.checkpoint;
  const isFirst = state.checkpoint === null;
  await secondReading.begin(clinic, { position, isFirst, signal, onDifference: reopen });
  const parents = await steps.cascades.begin(state.keys);
  const known = { ...state, ...proven, byFile, parents, trustedFile };
  return { clinic, ...proven, streaming: readingOptions(options, clinic, known) };
}

async function announceHalt(
  { claimant, installation, steps, onDue }: CaptureLoopOptions,
  halt: Halt,
  epoch: number,
): Promise<void> {
  const { box, store } = claimant;
  const halting = { installation: installation.uuid, epoch, box, route: steps.mapping().route };
  if ((await store.transaction((tx) => recordAndAnnounceHalt(tx, halt, halting))) > 0) onDue();
}

async function endGoneHalt(
  { claimant, log }: Pick<CaptureLoopOptions, 'claimant' | 'log'>,
  epoch: number,
): Promise<void> {
  await endHalt(claimant.store, epoch);
  log.info({}, 'the cause of the halt is gone');
}

function toldBy(reader: BinlogStream | undefined): Pick<CaptureStatus, 'silentMs' | 'doneTo'> {
  return { silentMs: reader?.silentMs() ?? null, doneTo: reader?.doneTo() ?? null };
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

/** Reads the checkpoint until a person has resumed capture, which returns true, or until it is time to try again. */
async function isAccepted(
  { claimant, epoch, signal, halt }: { claimant: Claimant; epoch: number; signal: AbortSignal; halt: Halt },
  isHalted: () => boolean,
): Promise<boolean> {
  const until = monotonicMs() + HALT_RETRY_MS;
  while (isHalted() && monotonicMs() < until) {
    if ((await readCaptureState(claimant.store)).epoch !== epoch) return true;
    if (halt.reason === 'event-too-large' && (await isPacketRaised(claimant.store))) return false;
    await sleep(HALT_POLL_MS, signal);
  }
  return false;
}

import { randomBytes } from 'node:crypto';
import { requirePinnedKey } from './audit/seal/pinned-key.ts';
import { recordKeyChange } from './audit/act/change-key.ts';
import { adoptBeforeSealing, beginEncryption } from './audit/act/adopt.ts';
import { areWebhooksEdited } from './audit/act/explain-webhooks.ts';
import { recordMissed } from './audit/act/record-along.ts';
import { sealedErasures } from './audit/act/sealed-erasures.ts';
import { runPreflight } from './binlog/preflight/preflight.ts';
import { openSource, type Source } from './binlog/source/source.ts';
import type { Baseline } from './binlog/types.ts';
import type { Config } from './config/types.ts';
import { watchConfig, type ConfigChange } from './config/watch.ts';
import { openStore, type Store } from './db/connection/client.ts';
import { openCipher } from './crypto/cipher.ts';
import { ensureInstallation, type Installation } from './db/schema/installation.ts';
import { migrateStore } from './db/schema/migrate.ts';
import { createAuditWatch, type AuditWatch } from './daemon/upkeep/audit-watch.ts';
import { requireSchema } from './audit/schema-differences.ts';
import { createApiContext } from './daemon/api.ts';
import { createCascadeWatch } from './capture/cascade-watch.ts';
import { createCaptureLoop, type CaptureLoop } from './capture/capture-loop.ts';
import {
  filterNames,
  isWithin,
  lookupsOf,
  nameOfRules,
  readCompiledSource,
  requireSameTables,
  requireSameWatch,
  requireTables,
  type CompiledSource,
} from './capture/compiled-source.ts';
import { createDeliveryStore } from './daemon/delivery-store.ts';
import { createDisabling, type DisableByEngine } from './daemon/disable-webhook.ts';
import { createFileSync, type FileSync } from './daemon/upkeep/file-sync.ts';
import { firstInForce, nameOf, reroute, type LiveState } from './daemon/live-state.ts';
import { validateStart, requireStart, soundDraft } from './daemon/validate-start.ts';
import { readKnownState } from './daemon/known-state.ts';
import { guardOptions, requireFitWebhooks } from './daemon/validate-webhook.ts';
import { locateSchema, readSettled } from './capture/transaction/live-schema.ts';
import { createMaintenance } from './daemon/upkeep/maintenance.ts';
import { createOccasions } from './daemon/upkeep/occasions.ts';
import { createMetrics, type Metrics } from './daemon/metrics.ts';
import { createObserver, type Observer } from './daemon/observer.ts';
import { createSecondReading, type SecondReadingOptions } from './capture/second-reading.ts';
import { createSealing } from './daemon/upkeep/sealing.ts';
import { createProgress } from './daemon/progress.ts';
import { createPreflightWatch, type PreflightWatch } from './daemon/upkeep/preflight-watch.ts';
import { createUpkeep } from './daemon/upkeep/upkeep.ts';
import { warnOfProblems, webhookProblems } from './daemon/webhook-problems.ts';
import { Dispatcher } from './delivery/schedule/dispatcher.ts';
import { createSender, type Sender } from './delivery/send/send.ts';
import type { RuleFile } from './event/rule/rule-file.ts';
import { startHttp } from './http/server.ts';
import { messageOf } from './lib/errors.ts';
import type { Log } from './lib/log.ts';
import { FailureLog } from './lib/loop/failure-log.ts';
import { readCaptureState } from './outbox/checkpoint.ts';
import { destroyKeys, ensureKeyFile } from './outbox/payload/destroy-keys.ts';
import { registerProcess, readRank } from './outbox/queue/heartbeat.ts';
import { reencryptSubjectKeys } from './outbox/payload/subject-keys.ts';
import type { Claimant } from './outbox/types.ts';
import { createWebhookFeed, type WebhookFeed } from './outbox/webhook/webhook-feed.ts';
import { reencryptSecrets } from './outbox/webhook/webhook-registry.ts';

/*
 *   source ─▶ capture ─▶ change ─▶ event ─▶ outbox ─▶ dispatcher ─▶ endpoints
 *               ▲                             │  ▲         │
 *            checkpoint ◀────one commit───────┘  └─outcomes┘
 */

/** A claim outlasts the wait in memory (30 s), the longest request (5 min) and its settlement. */
const CLAIM_MS = 6 * 60_000;

/** Replacements of real parts in tests. */
type Seams = Pick<SecondReadingOptions, 'compare'>;

export interface Daemon {
  /** The address of the HTTP server. */
  readonly url: string;
  /** Whether capture makes progress; /readyz reports it. */
  isReady(): boolean;
  /** Reads the configuration and the rules again; refuses an invalid edit with a log line. */
  reload(): void;
  /** Stops in reverse order: stops capture, finishes and records deliveries in progress, then closes the connections. */
  stop(): Promise<void>;
}

interface Parts {
  log: Log;
  outages: FailureLog;
  store: Store;
  source: Source;
  claimant: Claimant;
  installation: Installation;
  metrics: Metrics;
  observer: Observer;
  preflight: PreflightWatch;
  inForce: LiveState;
  audit: AuditWatch;
  fileSync: FileSync;
}

/**
 * Migrates the store, checks the source, then captures, delivers and listens until stopped.
 * Throws AppError: configuration, rules, preflight (PreflightError), store, port.
 */
export async function startDaemon(config: Config, log: Log, seams: Seams = {}): Promise<Daemon> {
  const stack = new AsyncDisposableStack();
  try {
    const running = await start(config, { log, stack, seams });
    return { ...running, stop: () => stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function start(
  config: Config,
  { log, stack, seams }: { log: Log; stack: AsyncDisposableStack; seams: Seams },
): Promise<Omit<Daemon, 'stop'>> {
  // Created before the files are read, so that no edit is missed; started last.
  const watcher = watchConfig(config, {
    onChange: (change) => reload(parts, { change, feed, captureLoop }),
    onInvalid: (error) =>
      log.error({ error: messageOf(error) }, 'the edit was refused; what was in force stays'),
  });
  await migrateStore(config.store.url);
  const store = openStore(config.store.url);
  stack.defer(() => store.close());
  await requireSchema(store);
  const source = openSource(config.source.url);
  stack.defer(() => source.close());

  const parts = await prepare(config, { log, store, source });
  const { dispatcher, feed, sender, disable } = createDelivery(parts, {
    stack,
    reopen: () => captureLoop.reopen(),
  });
  const captureLoop = createCapture(parts, { dispatcher, feed }, seams);
  await feed.refresh();
  stack.defer(() => captureLoop.close());
  const progress = createProgress({ ...parts, captureLoop, dispatcher });
  const http = await startHttp({
    config: config.http,
    log,
    verbs: progress,
    api: createApiContext({ ...parts, captureLoop, dispatcher, feed, sender, vault: parts.claimant }),
  });
  stack.defer(() => http.stop());

  const onDue = (): void => dispatcher.wake();
  const { claimant, outages, preflight } = parts;
  const upkeep = createUpkeep({
    ...{ claimant, log, outages, onDue },
    held: () => dispatcher.held(),
    onRank(share) {
      parts.metrics.processes.set(share.of);
      dispatcher.setShare(share);
    },
  });
  dispatcher.setShare(await readRank(claimant));
  const maintenance = createMaintenance({
    claimant,
    vault: claimant,
    log,
    retention: config.retention,
    disableAfterMs: config.delivery.disableAfterMs,
    outages,
    audit: parts.audit,
    webhooks: () => parts.inForce.webhooks,
    disable,
    onDue,
  });
  const sealing = createSealing({
    vault: claimant,
    installation: parts.installation,
    intervalMs: config.audit.sealIntervalMs,
    log,
    outages,
    audit: parts.audit,
    route: () => parts.inForce.route,
    onDue,
  });
  const occasions = createOccasions({
    ...{ claimant, outages, onDue, installation: parts.installation, audit: parts.audit },
    route: () => parts.inForce.route,
  });
  for (const background of [
    sealing,
    occasions,
    upkeep,
    maintenance,
    preflight,
    progress,
    dispatcher,
    feed,
    parts.fileSync,
    captureLoop,
    watcher,
  ]) {
    background.start();
    stack.defer(() => background.stop());
  }
  return { url: http.url, isReady: () => progress.readiness().ready, reload: () => watcher.reload() };
}

/** Everything that must hold before the first change is read. */
async function prepare(
  config: Config,
  { log, store, source }: Pick<Parts, 'log' | 'store' | 'source'>,
): Promise<Parts> {
  await requirePinnedKey(store, config.audit.key);
  const installation = await ensureInstallation(store);
  const serverId = config.source.serverId ?? installation.serverId;
  const known = await readKnownState(store, config);
  const validated = await validateStart(soundDraft(config), {
    source,
    known: { ...known, readerRuns: false },
  });
  const clinic = requireStart(validated);
  for (const warning of clinic.rules.warnings) log.warn({}, warning);
  const first = validated.preflight;
  if (first.ok) log.info({}, 'the source is ready to be read');
  const cipher = openCipher(config.store);
  const claimant: Claimant = { store, cipher, owner: randomBytes(16).toString('hex'), claimMs: CLAIM_MS };
  await registerProcess(claimant);
  await ensureKeyFile(claimant);
  const inForce = firstInForce(config, clinic);
  const metrics = createMetrics();
  const outages = new FailureLog(log);
  const observer = createObserver({
    metrics,
    nameOf: (id) => nameOf(inForce, id),
    webhooks: () => inForce.webhooks,
    problems: () => webhookProblems(inForce),
  });
  const preflight = createPreflightWatch({
    first,
    ask: () => {
      const { rules, dictionary } = inForce.clinic;
      const { watch, named } = rules;
      return runPreflight({
        source,
        serverId,
        watch,
        named,
        spelled: dictionary.spelled,
        readerRuns: true,
      });
    },
    log,
    outages,
    onReport: (report) => observer.onPreflight(report),
  });
  const parts = {
    log,
    outages,
    store,
    source,
    claimant,
    installation,
    metrics,
    observer,
    preflight,
    inForce,
    audit: createAuditWatch({ store, intervalMs: config.audit.sealIntervalMs, log, outages }),
    fileSync: createFileSync({ claimant, log, outages }),
  };
  if (await recordKeyChange(store, cipher)) log.info({ key: cipher.keyId }, 'the encryption key was changed');
  await adoptBeforeSealing(store, cipher);
  await beginEncryption(store, cipher);
  await parts.fileSync.sync(config);
  await destroyKeys(claimant, sealedErasures(claimant));
  const resealed = (await reencryptSecrets(claimant)) + (await reencryptSubjectKeys(claimant));
  if (resealed > 0) log.info({ resealed }, 'secrets sealed with the present encryption key');
  return parts;
}

/** Records changes that SQL made to webhooks, and restores the webhooks of the file. Returns whether anything changed. */
async function explainEdits(parts: Parts): Promise<boolean> {
  const { claimant, fileSync } = parts;
  if (!(await areWebhooksEdited(claimant.store, claimant.cipher))) return false;
  await fileSync.again();
  // A secret written by SQL is in clear text.
  await reencryptSecrets(claimant);
  return true;
}

/** Compiles the tables and the rules, including the columns that any webhook's filter may name. */
function clinicNow(
  { source, inForce }: Parts,
  ruleFile: RuleFile,
  baseline: Baseline,
): Promise<CompiledSource> {
  const names = filterNames(inForce.config.webhooks, inForce.webhooks);
  return readCompiledSource(source, inForce.config, { filterNames: names, ruleFile, baseline });
}

function createDelivery(
  parts: Parts,
  { stack, reopen }: { stack: AsyncDisposableStack; reopen(): void },
): { dispatcher: Dispatcher; feed: WebhookFeed; sender: Sender; disable: DisableByEngine } {
  const { claimant, inForce, installation, log, observer, outages } = parts;
  const { delivery } = inForce.config;
  const sender = createSender({
    guard: guardOptions(inForce.config),
    ca: delivery.ca ?? undefined,
    clientCertificates: delivery.clientCertificates,
  });
  stack.defer(() => sender.close());
  const feed = createWebhookFeed({
    vault: parts.claimant,
    reports: outages.part('the webhooks could not be read, trying again'),
    explain: () => explainEdits(parts),
    missed: recordMissed(parts.claimant.cipher),
    onChange(webhooks, problems) {
      inForce.webhooks = webhooks;
      inForce.problems = problems;
      dispatcher.setWebhooks(webhooks);
      warnOfProblems(parts);
      if (!reroute(inForce)) reopen();
    },
  });
  const disable = createDisabling({
    claimant,
    installation,
    log,
    nameOf: (id) => nameOf(inForce, id),
    route: () => inForce.route,
    onDisabled: () => void feed.edited(),
  });
  const dispatcher = new Dispatcher({
    verbs: createDeliveryStore({
      ...{ claimant, log, disable },
      nameOf: (id) => nameOf(inForce, id),
      onRefused: (count) => parts.metrics.forgedDeliveries.inc(count),
    }),
    sender,
    log,
    outages,
    concurrency: delivery.concurrency,
    retryScheduleMs: delivery.retryScheduleMs,
    onAttempt: (attempted) => observer.onAttempt(attempted),
  });
  return { dispatcher, feed, sender, disable };
}

function createCapture(
  parts: Parts,
  { dispatcher, feed }: { dispatcher: Dispatcher; feed: WebhookFeed },
  seams: Seams,
): CaptureLoop {
  const { claimant, inForce, installation, log, metrics, observer, outages, preflight, source } = parts;
  return createCaptureLoop({
    config: inForce.config,
    source,
    installation,
    claimant,
    log,
    outages,
    webhooks: () => inForce.webhooks,
    async reload(baseline) {
      inForce.clinic = await clinicNow(parts, inForce.ruleFile, baseline);
      if (reroute(inForce)) warnOfProblems(parts);
      return inForce.clinic;
    },
    secondReading: createSecondReading({ source, store: claimant.store, log, metrics, ...seams }),
    onReconnected: () => preflight.wake(),
    onDue: () => dispatcher.wake(),
    steps: {
      cascades: createCascadeWatch({ source, installation, clinic: () => inForce.clinic }),
      mapping: () => ({ rules: inForce.clinic.rules, route: inForce.route, webhooks: inForce.webhooks }),
      lookups: () =>
        lookupsOf(source, inForce.clinic, (table, what) =>
          (what === 'lookup' ? metrics.lookups : metrics.readLate).inc({ table }),
        ),
      resubscribe: () => feed.refresh(),
      room: () => dispatcher.room(),
      dispatch: (fresh) => dispatcher.accept(fresh),
      async redefine(tables, baseline) {
        const before = inForce.clinic;
        const { watch } = before.rules;
        const next = await readSettled(
          () => clinicNow(parts, inForce.clinic.ruleFile, baseline),
          (clinic) => {
            requireTables(clinic, baseline, tables);
            requireSameTables(before, clinic, tables);
            requireSameWatch(watch, clinic.rules.watch, tables);
          },
        );
        inForce.clinic = next;
        return isWithin(next.rules.watch, watch) ? locateSchema(source, next) : null;
      },
      onAppended: (appended, batch) => observer.onAppended(appended, batch),
    },
  });
}

/** Sections that are read only at the start. */
const fixedSections = ['source', 'store', 'delivery', 'http', 'audit', 'retention', 'log'] as const;

interface Reload {
  change: ConfigChange;
  feed: WebhookFeed;
  captureLoop: CaptureLoop;
}

/** Applies a valid edit: webhooks at once, rules from the next transaction on. Throws the reason for which it refuses an edit. */
async function reload(parts: Parts, { change, feed, captureLoop }: Reload): Promise<void> {
  const { inForce, log, source, store } = parts;
  const { baseline } = await readCaptureState(store);
  const names = filterNames(change.config.webhooks, inForce.webhooks);
  const next = await readCompiledSource(source, change.config, { filterNames: names, baseline });
  requireFitWebhooks(change.config, next);
  const synced = await parts.fileSync.sync(change.config);
  const before = inForce.config;
  inForce.config = change.config;
  inForce.ruleFile = next.ruleFile;
  await feed.refresh();
  if (change.rulesChanged) captureLoop.reopen();
  const rules = change.rulesChanged ? nameOfRules(next) : null;
  log.info({ ...synced, rules }, 'configuration reloaded');
  const waiting = fixedSections.filter(
    (name) => JSON.stringify(before[name]) !== JSON.stringify(change.config[name]),
  );
  if (waiting.length > 0) log.warn({ sections: waiting }, 'these sections take effect at the next start');
}

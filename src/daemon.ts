import { randomBytes } from 'node:crypto';
import { runPreflight, type PreflightReport } from './binlog/preflight/preflight.ts';
import { openSource, type Source } from './binlog/source.ts';
import { checkWebhooks } from './config/check-webhooks.ts';
import { problemsError } from './config/problems.ts';
import type { Config } from './config/types.ts';
import { watchConfig } from './config/watch.ts';
import { openStore, type Store } from './db/client.ts';
import { createSecretBox } from './db/encryption.ts';
import { ensureInstallation } from './db/installation.ts';
import { migrateStore } from './db/migrate.ts';
import { createCaptureLoop } from './daemon/capture-loop.ts';
import { lookupsOf, readClinic, requireSameWatch, type Clinic } from './daemon/clinic.ts';
import { createDeliveryVerbs } from './daemon/delivery-verbs.ts';
import { createMetrics } from './daemon/metrics.ts';
import { createObserver } from './daemon/observer.ts';
import { createUpkeep } from './daemon/upkeep.ts';
import { Dispatcher } from './delivery/dispatcher.ts';
import { checkWebhookUrl, type GuardOptions } from './delivery/guard.ts';
import { checkWebhookHeaders } from './delivery/headers.ts';
import { createSender } from './delivery/send.ts';
import { ownEventTypes } from './event/rule-spec.ts';
import { startHttp, type Readiness } from './http/server.ts';
import { AppError, messageOf } from './lib/errors.ts';
import type { Log } from './lib/log.ts';
import { readCaptureState } from './outbox/checkpoint.ts';
import { createRouter } from './outbox/fan-out.ts';
import { announceAlive } from './outbox/liveness.ts';
import type { Claimant, Subscription } from './outbox/types.ts';
import { createWebhookFeed } from './outbox/webhook-feed.ts';
import { syncWebhooks } from './outbox/webhook-sync.ts';

/** A claim outlasts the wait in memory (30 s), the longest request (timeout of a webhook, at most 5 min) and its settlement. */
const CLAIM_MS = 6 * 60_000;

export interface Daemon {
  /** Where it listens. */
  readonly url: string;
  /** Whether capture makes progress: what /readyz answers. */
  isReady(): boolean;
  /** Ends in reverse: no new changes, what is under way is sent and recorded, then the connections. */
  stop(): Promise<void>;
}

/** The source is not ready to be read; `report` says what mends it. */
export class PreflightError extends AppError {
  readonly report: PreflightReport;

  constructor(report: PreflightReport) {
    const failed = report.checks.filter(({ level }) => level === 'fail').length;
    super(
      'ERR_PREFLIGHT',
      `${report.server} is not ready: ${failed} of ${report.checks.length} checks fail.`,
    );
    this.report = report;
  }
}

/**
 * The whole story: migrates the store, checks the source, then captures, delivers and listens until stopped.
 * Throws AppError: configuration, rules, preflight, store, port.
 */
export async function startDaemon(config: Config, log: Log): Promise<Daemon> {
  await migrateStore(config.store.url);
  const stack = new AsyncDisposableStack();
  try {
    const store = openStore(config.store.url);
    stack.defer(() => store.close());
    const source = openSource(config.source.url);
    stack.defer(() => source.close());
    const running = await assemble({ config, log, store, source, stack });
    return { ...running, stop: () => stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

interface Parts {
  config: Config;
  log: Log;
  store: Store;
  source: Source;
  stack: AsyncDisposableStack;
}

async function assemble({
  config: initial,
  log,
  store,
  source,
  stack,
}: Parts): Promise<Omit<Daemon, 'stop'>> {
  const installation = await ensureInstallation(store);
  const claimant: Claimant = { store, owner: randomBytes(16).toString('hex'), claimMs: CLAIM_MS };
  const vault = { store, box: createSecretBox(initial.store.encryptionKeys) };
  const metrics = createMetrics();
  let config = initial;
  let clinic = await readClinic(source, config, filterNames(config.webhooks));
  for (const warning of clinic.rules.warnings) log.warn({}, warning);
  await requireReady({
    clinic,
    store,
    source,
    serverId: config.source.serverId ?? installation.serverId,
  });
  requireFitWebhooks(config, clinic);
  await syncWebhooks(vault, config.webhooks, { overlapMs: config.delivery.secretOverlapMs });

  let subscriptions: readonly Subscription[] = [];
  let route = createRouter(subscriptions);
  const nameOf = (id: number): string =>
    subscriptions.find((webhook) => webhook.id === id)?.name ?? String(id);
  const observer = createObserver({ metrics, nameOf });

  const sender = createSender({ guard: guardOptions(config) });
  stack.defer(() => sender.close());
  const dispatcher = new Dispatcher({
    verbs: createDeliveryVerbs({
      claimant,
      log,
      nameOf,
      onDisabled: () => void feed.refresh().catch(onFeedError),
    }),
    sender,
    log,
    concurrency: config.delivery.concurrency,
    retryScheduleMs: config.delivery.retryScheduleMs,
    disableAfterMs: config.delivery.disableAfterMs,
    onAttempt: (attempted) => observer.onAttempt(attempted),
  });

  const onFeedError = (error: unknown): void =>
    log.warn({ error: messageOf(error) }, 'the webhooks could not be read, trying again');
  const feed = createWebhookFeed({
    vault,
    onChange(webhooks, problems) {
      const known = new Set(filterNames(subscriptions));
      subscriptions = webhooks;
      route = createRouter(webhooks);
      dispatcher.setWebhooks(webhooks);
      for (const { name, message } of problems) log.error({ webhook: name }, message);
      // A filter may name a column that is not read yet.
      if ([...filterNames(webhooks)].some((name) => !known.has(name))) captureLoop.reopen();
    },
    onError: onFeedError,
  });

  const captureLoop = createCaptureLoop({
    config,
    source,
    installation,
    claimant,
    log,
    webhooks: () => subscriptions,
    async reload() {
      clinic = await readClinic(source, config, [
        ...filterNames(config.webhooks),
        ...filterNames(subscriptions),
      ]);
      return clinic;
    },
    steps: {
      mapping: () => ({ rules: clinic.rules, route, webhooks: subscriptions }),
      lookups: () => lookupsOf(source, clinic, (table) => metrics.lookups.inc({ table })),
      room: () => dispatcher.room(),
      dispatch: (fresh) => dispatcher.accept(fresh),
      async redefine(tables) {
        const before = clinic.rules.watch;
        const after = await readClinic(source, config, [
          ...filterNames(config.webhooks),
          ...filterNames(subscriptions),
        ]);
        requireSameWatch(before, after.rules.watch, tables);
        clinic = after;
      },
      onAppended: (appended, batch) => observer.onAppended(appended, batch),
    },
  });

  await announceAlive(claimant);
  await feed.refresh();
  const readiness = (): Readiness => observer.readiness(captureLoop.status(), config.source.heartbeatMs);
  const http = await startHttp({
    config: config.http,
    log,
    verbs: {
      readiness,
      metrics: () => observer.metrics(captureLoop.status(), dispatcher.stats(), store),
      status: async () => ({
        capture: { ...captureLoop.status(), ...(await readCaptureState(store)) },
        delivery: dispatcher.stats(),
        webhooks: subscriptions.map(({ id, name, isActive }) => ({ id, name, is_active: isActive })),
      }),
      eventTypes: () => clinic.rules.types,
    },
  });
  stack.defer(() => http.stop());

  const watcher = watchConfig(config, {
    async onChange(change) {
      const next = await readClinic(source, change.config, filterNames(change.config.webhooks));
      requireFitWebhooks(change.config, next);
      const synced = await syncWebhooks(vault, change.config.webhooks, {
        overlapMs: change.config.delivery.secretOverlapMs,
      });
      config = change.config;
      await feed.refresh();
      if (change.rulesChanged) captureLoop.reopen();
      log.info({ ...synced, rules: change.rulesChanged }, 'configuration reloaded');
    },
    onInvalid: (error) =>
      log.error(
        { error: messageOf(error) },
        'the edit of the configuration was refused; the old one stays in force',
      ),
  });

  const upkeep = createUpkeep({ claimant, log, onDue: () => dispatcher.wake() });
  for (const part of [upkeep, dispatcher, feed, captureLoop, watcher]) {
    part.start();
    stack.defer(() => part.stop());
  }
  return { url: http.url, isReady: () => readiness().ready };
}

function* filterNames(
  webhooks: readonly { filter: Readonly<Record<string, unknown>> | null }[],
): Generator<string> {
  for (const { filter } of webhooks) if (filter) yield* Object.keys(filter);
}

interface Preconditions {
  clinic: Clinic;
  store: Store;
  source: Source;
  serverId: number;
}

async function requireReady({ clinic, store, source, serverId }: Preconditions): Promise<void> {
  const { checkpoint } = await readCaptureState(store);
  const report = await runPreflight({
    source,
    watch: clinic.rules.watch,
    serverId,
    readerRuns: false,
    checkpoint: checkpoint && { ...checkpoint, serverUuid: checkpoint.serverUuid ?? '' },
  });
  if (!report.ok) throw new PreflightError(report);
}

function guardOptions(config: Config): GuardOptions {
  const { allowHttp, allowPrivateNetworks, allowedPorts, proxyUrl } = config.delivery;
  const databases = [config.source.url, config.store.url].map(({ host, port }) => ({ address: host, port }));
  return {
    allowHttp,
    allowPrivateNetworks,
    allowedPorts,
    forbidden: [...databases, { address: config.http.host, port: config.http.port }],
    ...(proxyUrl === null ? {} : { proxyUrl }),
  };
}

/** Event names, URLs and headers of the file's webhooks, each mistake with its line. */
function requireFitWebhooks(config: Config, { rules }: Clinic): void {
  const guard = guardOptions(config);
  const problems = checkWebhooks(config.webhooks, {
    eventTypes: { domain: rules.types.map(({ type }) => type), own: ownEventTypes },
    judgeUrl: (url) => checkWebhookUrl(url, guard),
    judgeHeaders: (headers) => checkWebhookHeaders(headers),
  });
  if (problems.length > 0) throw problemsError('ERR_CONFIG', problems);
}

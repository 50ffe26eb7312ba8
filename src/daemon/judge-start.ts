import { runPreflight, type CheckResult, type PreflightReport } from '../binlog/preflight/preflight.ts';
import type { CleanStop } from '../binlog/position/clean-stop.ts';
import type { Source } from '../binlog/source/source.ts';
import type { Baseline } from '../binlog/types.ts';
import type { Config } from '../config/types.ts';
import type { Store } from '../db/connection/client.ts';
import { openBox } from '../crypto/encryption.ts';
import { probeStore } from '../db/connection/probe-store.ts';
import { AppError } from '../lib/errors.ts';
import { readCaptureState } from '../outbox/checkpoint.ts';
import type { Checkpoint } from '../outbox/types.ts';
import { loadWebhooks } from '../outbox/webhook/webhook-registry.ts';
import { filterNames, readClinic, type Clinic } from '../capture/clinic.ts';
import { judgeWebhook, PreflightError, requireFitWebhooks } from './judge.ts';

/** What is known before a start: of a store that was used before. */
export interface KnownState {
  checkpoint: Checkpoint | null;
  cleanStop: CleanStop | null;
  baseline: Baseline;
  /** Null before the first run, where the configuration sets none. */
  serverId: number | null;
  /** Whether a daemon holds the capture lease now. */
  readerRuns: boolean;
  /** Webhooks that the database manages, and what is wrong with their rows. */
  webhooks: Awaited<ReturnType<typeof loadWebhooks>>;
}

/** Of a store that was not used before. */
export const nothingKnown: KnownState = {
  checkpoint: null,
  cleanStop: null,
  baseline: {},
  serverId: null,
  readerRuns: false,
  webhooks: { webhooks: [], problems: [] },
};

/** What `run` and `check` judge before anything is captured, by the same code. */
export interface Judgement {
  /** Of the source and the store's server. */
  preflight: PreflightReport;
  /** Of the configuration: rules, payloads, webhooks. */
  configuration: readonly CheckResult[];
  /** Null where the source does not answer, or the rules do not fit. */
  clinic: Clinic | null;
  /** What `run` refuses to start with, in the order in which it is reported. */
  mistakes: readonly AppError[];
}

/** Judges everything, and throws nothing for what is wrong; ERR_DRIVER for the installation itself. */
export async function judgeStart(
  config: Config,
  { source, known }: { source: Source; known: KnownState },
): Promise<Judgement> {
  const read = await tryClinic(source, config, known);
  const clinic = read instanceof AppError ? null : read;
  const rules = clinic?.rules ?? { watch: new Map(), named: new Map() };
  const preflight = await runPreflight({
    source,
    watch: rules.watch,
    named: rules.named,
    readerRuns: known.readerRuns,
    checkpoint: known.checkpoint && {
      ...known.checkpoint,
      serverUuid: known.checkpoint.serverUuid ?? '',
      cleanStop: known.cleanStop,
    },
    probeStore: () => probeStore(config.store.url),
    ...(known.serverId === null ? {} : { serverId: known.serverId }),
  });
  const unfit = clinic && caught(() => requireFitWebhooks(config, clinic));
  const mistakes = [
    ...(read instanceof AppError ? [read] : []),
    ...(preflight.ok || known.checkpoint ? [] : [new PreflightError(preflight)]),
    ...(unfit ? [unfit] : []),
  ];
  const configuration = [
    rulesLine(read),
    ...(clinic ? [payloadLine(clinic)] : []),
    webhooksLine(config, clinic, unfit),
    ...(clinic ? storeWebhooksLine(config, clinic, known.webhooks) : []),
  ];
  return { preflight, configuration, clinic, mistakes };
}

/**
 * The tables and the rules, or why there are none. Throws PreflightError when a check fails before anything was captured. Later what
 * fails is shown by /readyz, and what cannot be read halts capture: deliveries continue all the same.
 */
export function requireStart({ clinic, mistakes }: Judgement): Clinic {
  const [first] = mistakes;
  if (first) throw first;
  return clinic!;
}

/** What a store knows, that is up to date. */
export async function readKnownState(store: Store, config: Config): Promise<KnownState> {
  const { checkpoint, cleanStop, baseline } = await readCaptureState(store);
  const [installation] = await store.rows<{ serverId: number }>(
    'SELECT server_id AS serverId FROM installation',
  );
  const held = await store.rows(
    "SELECT 1 FROM leases WHERE name = 'capture' AND expires_at > UTC_TIMESTAMP(3)",
  );
  return {
    checkpoint,
    cleanStop,
    baseline,
    serverId: config.source.serverId ?? installation?.serverId ?? null,
    readerRuns: held.length > 0,
    webhooks: await loadWebhooks({ store, box: openBox(config.store) }),
  };
}

async function tryClinic(
  source: Source,
  config: Config,
  { baseline, webhooks }: KnownState,
): Promise<Clinic | AppError> {
  try {
    const names = filterNames(config.webhooks, webhooks.webhooks);
    return await readClinic(source, config, { filterNames: names, baseline });
  } catch (error) {
    if (error instanceof AppError && error.code !== 'ERR_DRIVER') return error;
    throw error;
  }
}

function caught(judge: () => void): AppError | null {
  try {
    judge();
    return null;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

const line = (
  id: string,
  title: string,
  [level, detail, remedy = null]: [CheckResult['level'], string, (string | null)?],
): CheckResult => ({ id, title, level, detail, remedy });

function rulesLine(read: Clinic | AppError): CheckResult {
  const title = 'Rules';
  if (!(read instanceof AppError))
    return line('rules', title, ['pass', `${read.rules.types.length} event types.`]);
  if (read.code.startsWith('ERR_SOURCE_'))
    return line('rules', title, ['skip', 'The source does not answer.']);
  return line('rules', title, ['fail', read.message, read.remedy]);
}

function payloadLine({ rules: { warnings } }: Clinic): CheckResult {
  const title = 'Fields of payloads';
  if (warnings.length === 0) return line('payload-fields', title, ['pass', 'None is always null.']);
  const count = warnings.length === 1 ? 'One name is' : `${warnings.length} names are`;
  return line('payload-fields', title, [
    'warn',
    `${count} without a value in this schema:\n${warnings.join('\n')}`,
    'Name the columns of this clinic in a rules file (rules: events.yaml); or leave it, where a field may be null or an event is not wanted.',
  ]);
}

function webhooksLine({ webhooks }: Config, clinic: Clinic | null, unfit: AppError | null): CheckResult {
  const title = 'Webhooks of the file';
  if (unfit) return line('webhooks', title, ['fail', unfit.message, unfit.remedy]);
  if (webhooks.length === 0) return line('webhooks', title, ['pass', 'The file has none.']);
  if (!clinic) return line('webhooks', title, ['skip', 'They need the rules.']);
  return line('webhooks', title, [
    'pass',
    webhooks.length === 1 ? 'It fits.' : `All ${webhooks.length} fit.`,
  ]);
}

/** Rows of the database may be written by SQL: they stop nothing, and each is reported by name. */
function storeWebhooksLine(
  config: Config,
  clinic: Clinic,
  { webhooks, problems }: KnownState['webhooks'],
): CheckResult[] {
  const title = 'Webhooks of the database';
  const own = webhooks.filter(({ managedBy, collects }) => managedBy === 'database' && collects);
  const found = [
    ...problems.map(({ name, message }) => `${name}: ${message}`),
    ...own.flatMap((webhook) =>
      judgeWebhook(webhook, { config, clinic }).map((message) => `${webhook.name}: ${message}`),
    ),
  ];
  if (found.length > 0) {
    const remedy = 'Correct each with `webhooks update` and the name of the webhook.';
    return [line('store-webhooks', title, ['warn', found.join('\n'), remedy])];
  }
  if (own.length === 0) return [];
  return [line('store-webhooks', title, ['pass', own.length === 1 ? 'It fits.' : `All ${own.length} fit.`])];
}

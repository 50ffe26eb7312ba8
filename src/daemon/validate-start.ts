import {
  checkStore,
  runPreflight,
  type CheckResult,
  type PreflightReport,
} from '../binlog/preflight/preflight.ts';
import type { PreflightOptions } from '../binlog/preflight/check.ts';
import type { Source } from '../binlog/source/source.ts';
import type { ConfigDraft } from '../config/load.ts';
import { problemsError, type Problem } from '../config/problems.ts';
import type { Config } from '../config/types.ts';
import { probeStore } from '../db/connection/probe-store.ts';
import { AppError } from '../lib/errors.ts';
import type { CompiledSource } from '../capture/compiled-source.ts';
import {
  configurationLine,
  daemonWebhooksLine,
  payloadLine,
  rulesLine,
  storeWebhooksLine,
  webhooksLine,
} from './configuration-lines.ts';
import { readDraftRules, type DraftRules } from './draft-rules.ts';
import { validateFileWebhooks, PreflightError } from './validate-webhook.ts';
import type { KnownState } from './known-state.ts';

/** Results of the checks that `run` and `check` make before anything is captured, with the same code. */
export interface StartReport {
  /** Checks of the source and of the store's server. */
  preflight: PreflightReport;
  /** Checks of the configuration: the file, rules, payloads, webhooks. */
  configuration: readonly CheckResult[];
  /** Null if the source does not answer, or the rules are invalid. */
  clinic: CompiledSource | null;
  /** All mistakes with which `run` refuses to start, in the order in which they are reported. */
  mistakes: readonly AppError[];
}

/** A configuration that can be checked at least in part. */
export type CheckedDraft = ConfigDraft & { config: Config };

/** A configuration without a mistake. */
export const soundDraft = (config: Config): CheckedDraft => ({
  config,
  problems: [],
  isReplaced: () => false,
  isWrong: () => false,
  isStoreUnknown: false,
});

interface Asked {
  /** Null if the configuration does not say how to reach it. */
  source: Source | null;
  known: KnownState;
}

/**
 * Checks everything and reports mistakes without throwing; throws ERR_DRIVER for the installation itself. A mistake hides another one only
 * if the other cannot be checked: without the source, for example, checks of its tables.
 */
export async function validateStart(draft: CheckedDraft, { source, known }: Asked): Promise<StartReport> {
  const { config } = draft;
  const rules = await readDraftRules(draft, { source, known });
  const { clinic } = rules;
  const preflight = source ? await askSource(source, { draft, clinic, known }) : await withoutSource(draft);
  const unfit = validateWebhooksOf(draft, rules);
  const problems = [...draft.problems, ...unfit];
  const mistakes = [
    ...(problems.length > 0 ? [problemsError('ERR_CONFIG', problems)] : []),
    ...(rules.mistake ? [rules.mistake] : []),
    ...sourceMistakes({ preflight, rules, known }),
  ];
  const fits = clinic && !rules.mistake ? clinic : null;
  const configuration = [
    configurationLine(draft.problems),
    rulesLine(rules),
    ...(fits ? [payloadLine(fits)] : []),
    webhooksLine(config, rules, unfit),
    ...daemonWebhooksLine(known),
    ...(fits ? storeWebhooksLine(config, fits, known.webhooks) : []),
  ];
  return { preflight, configuration, clinic: fits, mistakes };
}

/** The address of the source has a mistake: the store can still be queried if it has an address of its own. */
async function withoutSource(draft: CheckedDraft): Promise<PreflightReport> {
  const unknown: CheckResult = {
    id: 'connection',
    title: 'Connection',
    level: 'skip',
    detail: 'source.url must be corrected first.',
    remedy: null,
  };
  const { probeStore } = storeProbe(draft);
  const store = probeStore ? [await checkStore(probeStore)] : [];
  return {
    ok: false,
    server: 'The source is unknown: its address has a mistake',
    checks: [unknown, ...store],
  };
}

/** No store probe if the address of the store has a mistake. */
function storeProbe({ config, isStoreUnknown }: CheckedDraft): Pick<PreflightOptions, 'probeStore'> {
  return isStoreUnknown ? {} : { probeStore: () => probeStore(config.store.url) };
}

function askSource(
  source: Source,
  { draft, clinic, known }: { draft: CheckedDraft; clinic: CompiledSource | null; known: KnownState },
): Promise<PreflightReport> {
  const { watch, named } = clinic?.rules ?? { watch: new Map(), named: new Map() };
  return runPreflight({
    source,
    watch,
    named,
    ...(clinic && { spelled: clinic.dictionary.spelled }),
    readerRuns: known.readerRuns,
    checkpoint: known.checkpoint && {
      ...known.checkpoint,
      serverUuid: known.checkpoint.serverUuid ?? '',
      cleanStop: known.cleanStop,
    },
    ...storeProbe(draft),
    ...(known.serverId === null ? {} : { serverId: known.serverId }),
  });
}

/** Once anything was captured, a failure of the preflight is shown by /readyz and does not stop a start. */
function sourceMistakes({
  preflight,
  rules: { silence },
  known,
}: Pick<Asked, 'known'> & { preflight: PreflightReport; rules: DraftRules }): AppError[] {
  const failed = preflight.checks.filter(({ level }) => level === 'fail');
  const isSilence = silence !== null && failed.every(({ id }) => id === 'connection');
  const refusal =
    preflight.ok || failed.length === 0 || known.checkpoint || isSilence
      ? []
      : [new PreflightError(preflight)];
  return [...(silence ? [silence] : []), ...refusal];
}

/** Problems of the file's webhooks, except problems that follow from a mistake already reported. */
function validateWebhooksOf({ config, isReplaced }: CheckedDraft, rules: DraftRules): Problem[] {
  const guarding = ['allowed_ports', 'allow_private_networks', 'allow_http'];
  const isGuardUnknown = guarding.some((key) => isReplaced(['delivery', key]));
  const follows = ({ path }: Problem): boolean => {
    const certificate = config.webhooks[Number(path[1])]?.clientCertificate ?? '';
    return (
      isReplaced(path) ||
      (path[2] === 'url' && isGuardUnknown) ||
      (path[2] === 'client_certificate' && isReplaced(['delivery', 'client_certificates', certificate]))
    );
  };
  return validateFileWebhooks(config, rules.known).filter((problem) => !follows(problem));
}

/** Several mistakes, each with its remedy; the first one is also the error's own. */
export class MistakesError extends AppError {
  readonly mistakes: readonly AppError[];

  constructor(mistakes: readonly [AppError, ...AppError[]]) {
    const [{ code, message, remedy }] = mistakes;
    super(code, message, { remedy });
    this.mistakes = mistakes;
  }
}

/**
 * Returns the tables and the rules. Throws the mistake, or MistakesError for several; among them PreflightError if a check fails before
 * anything was captured. After that, failures are shown by /readyz, and a source that cannot be read halts capture while deliveries
 * continue.
 */
export function requireStart({ clinic, mistakes }: StartReport): CompiledSource {
  const [first, ...others] = mistakes;
  if (first) throw others.length === 0 ? first : new MistakesError([first, ...others]);
  return clinic!;
}

import type { Source } from '../binlog/source/source.ts';
import type { Baseline } from '../binlog/types.ts';
import { draftCompiledSource, filterNames, type CompiledSource } from '../capture/compiled-source.ts';
import type { ConfigDraft } from '../config/load.ts';
import { problemsError } from '../config/problems.ts';
import type { Config } from '../config/types.ts';
import { describeRules } from '../event/rule/describe.ts';
import { builtInRulesFile, draftRuleFile, type RuleFileDraft } from '../event/rule/rule-file.ts';
import { AppError } from '../lib/errors.ts';
import type { loadWebhooks } from '../outbox/webhook/webhook-registry.ts';
import type { KnownRules } from './validate-webhook.ts';

/** The rules and the source's tables, as far as they can be read. */
export interface DraftRules {
  /** Compiled with the rules that are valid; null if the source or the file cannot be read. */
  clinic: CompiledSource | null;
  /** ERR_RULES with all mistakes in the rules file. */
  mistake: AppError | null;
  /** Why the source's tables could not be read. */
  silence: AppError | null;
  /** The rules against which webhooks are checked; null if the file cannot be read. */
  known: KnownRules | null;
}

interface Surroundings {
  source: Source | null;
  known: {
    baseline: Baseline;
    webhooks: Pick<Awaited<ReturnType<typeof loadWebhooks>>, 'webhooks'>;
  };
}

/** Reads the rules and compiles them against the source's tables. Throws ERR_DRIVER only. */
export async function readDraftRules(
  { config, isWrong }: ConfigDraft & { config: Config },
  { source, known }: Surroundings,
): Promise<DraftRules> {
  // The mistake is in the configuration, so the path of the file is unknown.
  const file = isWrong(['rules']) ? null : readFile(config);
  if (file === null) return { clinic: null, mistake: null, silence: null, known: null };
  if (file instanceof AppError) return { clinic: null, mistake: file, silence: null, known: null };
  const { ruleFile, unread, problems } = file;
  const names = filterNames(config.webhooks, known.webhooks.webhooks);
  const options = { filterNames: names, baseline: known.baseline };
  const read =
    source && ruleFile
      ? await orRefusal(() => draftCompiledSource(source, config, { ...options, ruleFile }))
      : null;
  const silence = read instanceof AppError ? read : null;
  const laid = read instanceof AppError ? null : read;
  const mistakes = [...problems, ...(laid?.mistakes ?? [])];
  return {
    clinic: laid?.clinic ?? null,
    mistake: mistakes.length > 0 ? problemsError('ERR_RULES', mistakes) : null,
    silence,
    known: ruleFile || unread.length > 0 ? knownRules({ ruleFile, unread }, laid?.clinic ?? null) : null,
  };
}

function readFile({ rulesFile }: Config): RuleFileDraft | AppError {
  try {
    return draftRuleFile(rulesFile ?? builtInRulesFile);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

async function orRefusal<T>(read: () => Promise<T>): Promise<T | AppError> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof AppError && error.code !== 'ERR_DRIVER') return error;
    throw error;
  }
}

function knownRules(
  { ruleFile, unread }: Pick<RuleFileDraft, 'ruleFile' | 'unread'>,
  clinic: CompiledSource | null,
): KnownRules {
  if (clinic === null) {
    const types = ruleFile ? describeRules(ruleFile) : [];
    return { types, unread, withoutColumns: types.map(({ type }) => type), watch: new Map() };
  }
  const { rules, schema } = clinic;
  const isStrict = clinic.ruleFile.missing === 'error';
  const lacksTable = ({ table }: { table: string }): boolean =>
    isStrict && table.split(', ').some((name) => !schema.has(name.toLowerCase()));
  const withoutColumns = rules.types.filter(lacksTable).map(({ type }) => type);
  return { types: rules.types, unread, withoutColumns, watch: rules.watch };
}

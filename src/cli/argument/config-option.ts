import { Option } from 'commander';
import { draftConfig, loadConfig } from '../../config/load.ts';
import { problemsError } from '../../config/problems.ts';
import type { CheckedDraft } from '../../daemon/validate-start.ts';
import type { Config } from '../../config/types.ts';

const defaultConfigFile = 'config/odontology-webhooks.yaml';

/** `--config FILE`, an option of every command that works on an installation. */
export function configOption(): Option {
  return new Option('-c, --config <file>', 'configuration file').default(defaultConfigFile);
}

export interface ConfigOptions {
  config: string;
}

/** Loads the configuration that the option names. Throws ERR_CONFIG with all problems. */
export function configOf({ config }: ConfigOptions): Config {
  return loadConfig(config, process.env);
}

/**
 * Loads the configuration with its mistakes, so that they can be reported together with others. Throws ERR_CONFIG if nothing else can
 * be checked.
 */
export function draftOf({ config: file }: ConfigOptions): CheckedDraft {
  const draft = draftConfig(file, process.env);
  if (draft.config === null) throw problemsError('ERR_CONFIG', draft.problems);
  return { ...draft, config: draft.config };
}

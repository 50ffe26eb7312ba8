import { Option } from 'commander';
import { loadConfig } from '../../config/load.ts';
import type { Config } from '../../config/types.ts';

const defaultConfigFile = 'config/odontology-webhooks.yaml';

/** `--config FILE`, of every command that works on an installation. */
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

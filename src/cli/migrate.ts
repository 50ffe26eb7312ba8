import { Command } from 'commander';
import { toJson } from '../audit/to-json.ts';
import { migrateStore } from '../db/migrate.ts';
import { configOf, configOption, type ConfigOptions } from './config-option.ts';
import { print, printJson } from './output.ts';

/** `odontology-webhooks migrate` */
export function migrateCommand(): Command {
  return new Command('migrate')
    .description('create or upgrade our own schema in the store')
    .addOption(configOption())
    .option('--json', 'print the result as JSON')
    .action(async (options: ConfigOptions & { json?: true }) => {
      const { url } = configOf(options).store;
      const migrated = await migrateStore(url);
      if (options.json) printJson(toJson(migrated));
      else if (migrated.applied === 0) print(`The schema ${url.database} is up to date.`);
      else
        print(
          `The schema ${url.database} was ${migrated.createdSchema ? 'created' : 'upgraded'}: ${migrated.applied} migrations.`,
        );
    });
}

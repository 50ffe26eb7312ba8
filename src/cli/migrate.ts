import { Command } from 'commander';
import { prepareAuditor, type Auditor } from '../audit/auditor.ts';
import { recordAct } from '../audit/act/record-act.ts';
import { toJson } from '../audit/to-json.ts';
import { migrateStore, type Migrated } from '../db/schema/migrate.ts';
import { configOf, configOption, type ConfigOptions } from './argument/config-option.ts';
import { localActor } from './argument/local-actor.ts';
import { print, printError, printExact, printJson } from './terminal/output.ts';
import { withStore } from './argument/with-store.ts';

interface MigrateOptions extends ConfigOptions {
  auditor?: string;
  payloads: boolean;
  json?: true;
}

/** `odontology-webhooks migrate` */
export function migrateCommand(): Command {
  return new Command('migrate')
    .description('create or upgrade our own schema in the store')
    .addOption(configOption())
    .option(
      '--auditor <name>',
      'make the views for an auditor, and print what makes a read-only user for them',
    )
    .option(
      '--no-payloads',
      "with --auditor: without the payloads in webhook_deliveries, which are patients' data",
    )
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
The user that --auditor prints reads the log and can do nothing else; an administrator of the database runs the lines. The password in
them is made now and kept nowhere. Run it again after an upgrade: that refreshes the views.

Example:
  $ odontology-webhooks migrate --auditor luz --no-payloads`,
    )
    .action(async (options: MigrateOptions) => {
      const { url } = configOf(options).store;
      const migrated = await migrateStore(url);
      const auditor = options.auditor === undefined ? undefined : await prepare(options, options.auditor);
      if (options.json) printJson({ ...(toJson(migrated) as object), ...(auditor && { auditor }) });
      else {
        (auditor ? printError : print)(inWords(migrated, url.database));
        if (auditor) printAuditor(auditor, options);
      }
    });
}

function prepare(options: MigrateOptions, account: string): Promise<Auditor> {
  return withStore(options, async ({ store, cipher }) => {
    const auditor = await prepareAuditor(store, { account, withoutPayloads: !options.payloads });
    const details = { payloads: options.payloads };
    await recordAct(store, cipher, {
      actor: localActor(),
      action: 'auditor.prepare',
      target: account,
      details,
    });
    return auditor;
  });
}

/** Writes only the statements to standard output. */
function printAuditor({ views, statements }: Auditor, { payloads }: MigrateOptions): void {
  printError(`Views: ${views.join(', ')}.\nAn administrator of the database runs:\n`);
  printExact(statements.join('\n'));
  if (payloads) {
    printError(
      "\nwebhook_deliveries has the payloads, which are patients' data (encrypted where store.encryption_key is set), and reading them by SQL is on no record: --no-payloads leaves them out.",
    );
  }
}

function inWords({ applied, createdSchema }: Migrated, schema: string): string {
  if (applied === 0) return `The schema ${schema} is up to date.`;
  return `The schema ${schema} was ${createdSchema ? 'created' : 'upgraded'}: ${applied} migrations.`;
}

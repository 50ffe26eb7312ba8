import { Command } from 'commander';
import { beginAnew, checkLostLog, type NewBeginning } from '../../audit/act/begin-anew.ts';
import { toJson } from '../../audit/to-json.ts';
import { fingerprintOf, readSealState } from '../../db/proof/seal-key.ts';
import { pinningLine } from './head.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { localActor } from '../argument/local-actor.ts';
import { withStore } from '../argument/with-store.ts';
import { confirm, yesDescription, yesFlag, type ConfirmOptions } from '../terminal/confirm.ts';
import { print, printError, printJson } from '../terminal/output.ts';
import { formatFacts } from '../terminal/table.ts';

interface BeginAnewOptions extends ConfigOptions, ConfirmOptions {
  reason: string;
  json?: true;
}

/** `odontology-webhooks audit begin-anew` */
export function auditBeginAnewCommand(): Command {
  return new Command('begin-anew')
    .description('after the signing key or the seals were lost: begin a new log, on record')
    .addOption(configOption())
    .requiredOption('--reason <text>', 'why, for the audit log')
    .option(yesFlag, yesDescription)
    .option('--json', 'print what was taken over as JSON')
    .addHelpText(
      'after',
      `
Where the signing key or all seals are gone from the store, the daemon refuses to start or to seal (ERR_AUDIT). First
put the tables seal_state, seals and seal_packs back from a backup. Only where there is none, begin anew: the entries
that are there are taken over, and nothing proves them. The first act of the new log says so. Then restart the daemon.

Example:
  $ odontology-webhooks audit begin-anew --reason "seal tables dropped by mistake, no backup"`,
    )
    .action(async (options: BeginAnewOptions) => {
      const begun = await withStore(
        options,
        async (vault) => {
          const found = await checkLostLog(vault.store, vault.cipher);
          if (!options.json) printError(describe(found));
          await confirm('Begin a new log, and take these over without proof?', options);
          const begun = await beginAnew(vault, { actor: localActor(), reason: options.reason });
          return { ...begun, key: fingerprintOf((await readSealState(vault.store))!.publicKey) };
        },
        { anyLog: true },
      );
      if (options.json) printJson(toJson(begun));
      else
        print(
          'A new log begins; it is on record in the audit log. Pin its new key in the configuration, and restart the daemon:\n' +
            pinningLine(begun.key),
        );
    });
}

function describe({ lost, events, deliveries, attempts, acts, queued, replays }: NewBeginning): string {
  return formatFacts([
    ['Why', lost],
    ['Taken over', `${events} events, ${deliveries} deliveries, ${attempts} attempts, ${acts} acts`],
    ['To be sent', `${queued} deliveries are in the queue: they are sent`],
    ...(replays === 0 ? [] : [['Cancelled', `${replays} replays under way`] as [string, string]]),
  ]);
}

import { Command } from 'commander';
import { countErasable, erasePatient, type Erased } from '../audit/erase.ts';
import { toJson } from '../audit/to-json.ts';
import { configOption, type ConfigOptions } from './config-option.ts';
import { confirm, yesDescription, yesFlag, type ConfirmOptions } from './confirm.ts';
import { localActor } from './local-actor.ts';
import { print, printJson } from './output.ts';
import { withStore } from './with-store.ts';

interface EraseOptions extends ConfigOptions, ConfirmOptions {
  patient: string;
  reason: string;
  json?: true;
}

/** `odontology-webhooks erase` */
export function eraseCommand(): Command {
  return new Command('erase')
    .description("make one patient's payloads unreadable in the store")
    .addOption(configOption())
    .requiredOption('--patient <id>', 'as the clinic numbers patients')
    .requiredOption('--reason <text>', 'why, for the audit log')
    .option(yesFlag, yesDescription)
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Erase the patient in the application first: what it writes later is sent and kept like anything else. The record of what was sent to
whom stays, and \`audit verify\` still proves it.

With store.key_file the key that opens this patient's payloads is taken out of that file: no backup and no binary log of the store that
was written since the file was set opens for this patient any more. Then destroy all copies of the file and make a new one: with an old
one they still do. Without store.key_file, backups and the binary log keep what they had until they expire, or, with
store.encryption_key, until that key is changed and the old one destroyed.

Example:
  $ odontology-webhooks erase --patient 45 --reason "request of 2026-03-07"`,
    )
    .action(async ({ patient, reason, ...options }: EraseOptions) => {
      const erased = await withStore(options, async (vault) => {
        const count = await countErasable(vault.store, patient);
        await confirm(
          `Make the payloads of ${count} events about patient ${patient} unreadable for good?`,
          options,
        );
        return erasePatient(vault, { patient, reason, actor: localActor() });
      });
      if (options.json) printJson(toJson(erased));
      else print(inWords(erased));
    });
}

function inWords({ events, ended, beingSent, keyFile }: Erased): string {
  const lines = [
    `The payloads of ${events} events are gone; ${ended} deliveries that were still to be sent have ended.`,
  ];
  if (keyFile === null)
    lines.push('Backups and the binary log of the store keep what they had until they expire.');
  else
    lines.push(
      `The patient's key is gone from ${keyFile}: backups and the binary log of the store do not open for this patient any more.`,
      'Now make a new copy of that file and destroy every older one: with it they still do.',
    );
  if (beingSent > 0) lines.push(`${beingSent} are being sent at this moment: run it again in a minute.`);
  return lines.join('\n');
}

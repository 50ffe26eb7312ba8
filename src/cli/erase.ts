import { Command, Option } from 'commander';
import { countErasable, erasePatientNumbers, unknownPatient, type ErasedPatient } from '../audit/erase.ts';
import { toJson } from '../audit/to-json.ts';
import { readBacklog, type Backlog } from '../capture/log-end.ts';
import { nameValue, readQueryValue, reasonValue } from '../config/setting/query-value.ts';
import { queryOption } from './argument/query-option.ts';
import { configOption, type ConfigOptions } from './argument/config-option.ts';
import { confirm, yesDescription, yesFlag, type ConfirmOptions } from './terminal/confirm.ts';
import { localActor } from './argument/local-actor.ts';
import { print, printJson } from './terminal/output.ts';
import { withDatabases } from './argument/with-databases.ts';

interface EraseOptions extends ConfigOptions, ConfirmOptions {
  patient: string;
  also?: string[];
  reason: string;
  json?: true;
}

/** `odontology-webhooks erase` */
export function eraseCommand(): Command {
  return new Command('erase')
    .description("make one patient's payloads unreadable in the store")
    .addOption(configOption())
    .addOption(
      queryOption('--patient <id>', 'as the clinic numbers patients', nameValue).makeOptionMandatory(),
    )
    .addOption(
      new Option('--also <id>', 'another number of the same patient; may be repeated').argParser(collect),
    )
    .addOption(queryOption('--reason <text>', 'why, for the audit log', reasonValue).makeOptionMandatory())
    .option(yesFlag, yesDescription)
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Erase the patient in the application first: what it writes later is sent and kept like anything else. What it committed before is erased
also where capture has not read it yet. The record of what was sent to whom stays, and \`audit verify\` still proves it.

Numbers are compared exactly: 45 is neither 045 nor "45 ". If nothing is known about a number, the exit code is 1. If the
number of the patient was changed, events carry the number of their time: name the others by --also.

With store.key_file the key that opens this patient's payloads is taken out of that file: no backup and no binary log of the store that
was written since the file was set opens for this patient any more. Then destroy all copies of the file and make a new one: with an old
one they still do. Without store.key_file, backups and the binary log keep what they had until they expire, or, with
store.encryption_key, until that key is changed and the old one destroyed.

Example:
  $ odontology-webhooks erase --patient 45 --reason "request of 2026-03-07"`,
    )
    .action(async ({ patient, also = [], reason, ...options }: EraseOptions) => {
      const patients = [...new Set([patient, ...also])];
      const { erased, backlog } = await withDatabases(options, async ({ source, ...vault }) => {
        const counts = await Promise.all(patients.map((each) => countErasable(vault.store, each)));
        const count = counts.reduce((sum, each) => sum + each, 0);
        const whom = patients.map((each) => JSON.stringify(each)).join(', ');
        await confirm(
          `Make the payloads of ${count} events about patient ${whom} unreadable for good?`,
          options,
        );
        const found = await readBacklog(source, vault.store);
        const { logEnd } = found;
        return {
          erased: await erasePatientNumbers(vault, { patients, reason, actor: localActor(), logEnd }),
          backlog: found,
        };
      });
      const { behindBytes, halted } = backlog;
      const { unknown } = erased;
      if (options.json) printJson(toJson({ ...erased, behindBytes, halted }));
      else if (unknown.length < patients.length) print(inWords(erased));
      const late = aboutBacklog(backlog);
      if (!options.json && late !== null) print(late);
      if (unknown.length > 0) throw unknownPatient(unknown);
    });
}

function collect(value: string, before: string[] = []): string[] {
  return [...before, readQueryValue(nameValue, { name: '--also', text: value })];
}

/** Describes the part of the binlog that capture has not read yet; null if it has read everything. */
function aboutBacklog({ behindBytes, halted, problem }: Backlog): string | null {
  if (behindBytes === 0) return null;
  const sofar =
    problem === null
      ? `Capture is ${behindBytes === null ? 'behind' : `${behindBytes} bytes behind`} the end of the binlog${halted === null ? '' : ` and halted (${halted})`}.`
      : `The source does not answer (${problem}): how far capture is behind is not known.`;
  return `${sofar} What was committed up to now about the patient is recorded without payload when it is read, and not sent.`;
}

function inWords({ events, ended, beingSent, keyFile }: ErasedPatient): string {
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

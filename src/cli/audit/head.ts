import { Command } from 'commander';
import { headJson, readHead } from '../../audit/seal/head.ts';
import { sealAndTell } from '../../daemon/upkeep/sealing.ts';
import { ensureInstallation } from '../../db/schema/installation.ts';
import { AppError } from '../../lib/errors.ts';
import { createRouter } from '../../outbox/append/fan-out.ts';
import { loadWebhooks } from '../../outbox/webhook/webhook-registry.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { print, printJson } from '../terminal/output.ts';
import { writeNewFile } from '../terminal/text-file.ts';
import { withStore } from '../argument/with-store.ts';

interface HeadOptions extends ConfigOptions {
  out?: string;
  json?: true;
}

/** `odontology-webhooks audit head` */
export function auditHeadCommand(): Command {
  return new Command('head')
    .description('print the head of the sealed log, to be kept outside of this installation')
    .addOption(configOption())
    .option('--out <file>', 'write it to a new file')
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      `
It holds hashes and a signature, nothing of a patient. \`audit verify --head FILE\` compares the log with it.

Example:
  $ odontology-webhooks audit head --out /mnt/notary/head-$(date +%F).json`,
    )
    .action(async (options: HeadOptions) => {
      const { head, isPinned } = await withStore(options, async ({ config, ...vault }) => {
        // The head includes everything up to this moment.
        const installation = await ensureInstallation(vault.store);
        const { webhooks } = await loadWebhooks(vault);
        while ((await sealAndTell(vault, installation, { route: createRouter(webhooks) })).seal);
        return { head: await readHead(vault.store), isPinned: config.audit.key !== null };
      });
      if (!head)
        throw new AppError('ERR_NOT_FOUND', 'nothing has been sealed yet', { remedy: 'Start `run` first.' });
      if (options.out !== undefined)
        writeNewFile(options.out, `${JSON.stringify(headJson(head), null, 2)}\n`);
      if (options.json) printJson(headJson(head));
      else {
        print(`Head ${head.number} ${head.hash}\nSealed ${head.sealedAt} UTC\nKey ${head.fingerprint}`);
        if (!isPinned)
          print(
            `\nSo that run, check and audit verify refuse another log, add to the configuration:\n${pinningLine(head.fingerprint)}`,
          );
      }
    });
}

/** The line for the configuration file. */
export const pinningLine = (fingerprint: string): string => `audit: { key: "${fingerprint}" }`;

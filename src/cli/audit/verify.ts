import { Command } from 'commander';
import { styleText } from 'node:util';
import { parseHead } from '../../audit/head.ts';
import { verifyLog, type Verification } from '../../audit/verify.ts';
import { toJson } from '../../audit/to-json.ts';
import { configOption, type ConfigOptions } from '../config-option.ts';
import { print, printJson } from '../output.ts';
import { createProgress } from '../progress.ts';
import { readTextFile } from '../text-file.ts';
import { withStore } from '../with-store.ts';

interface VerifyOptions extends ConfigOptions {
  head?: string;
  json?: true;
}

/** `odontology-webhooks audit verify` */
export function auditVerifyCommand(): Command {
  return new Command('verify')
    .description(
      'walk the sealed log and name the first entry that was edited, deleted, inserted or reordered',
    )
    .addOption(configOption())
    .option(
      '--head <file>',
      'what `audit head` wrote earlier, or an audit.sealed webhook brought: finds even a rewrite of everything',
    )
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Exit code 1 when something is wrong.

Examples:
  $ odontology-webhooks audit verify
  $ odontology-webhooks audit verify --head /mnt/notary/head-2026-03.json`,
    )
    .action(async (options: VerifyOptions) => {
      const head = options.head === undefined ? undefined : parseHead(readTextFile(options.head));
      const progress = createProgress('verifying');
      const verification = await withStore(options, (vault) =>
        verifyLog(vault, {
          ...(head && { head }),
          onProgress: (done, total) => progress.update(done, total),
        }),
      ).finally(() => progress.end());
      if (options.json) printJson(toJson(verification));
      else print(formatVerification(verification));
      if (!verification.ok) process.exitCode = 1;
    });
}

function formatVerification(verification: Verification): string {
  const { flaw, seals, entries, payloads, unsealed, firstSeal, lastSeal, lastHash, fingerprint } =
    verification;
  const lines = flaw
    ? [
        `${styleText('red', flaw.kind)}: ${flaw.message}`,
        `Before it, ${entries} entries in ${seals} seals are as they were sealed.`,
      ]
    : [
        `${styleText('green', 'untouched')}: ${entries} entries in ${seals} seals (${firstSeal} to ${lastSeal}) are as they were sealed.`,
      ];
  lines.push(
    `Payloads: ${payloads.proved} proved, ${payloads.pruned} pruned by retention, ${payloads.erased} erased on record.`,
  );
  if (!flaw && unsealed > 0) lines.push(`${unsealed} entries are newer than the last seal.`);
  if (fingerprint) lines.push(`Key ${fingerprint}`, `Head ${lastSeal} ${lastHash}`);
  if (!flaw && !verification.headCompared && lastSeal > 0) {
    lines.push(
      'No head was compared: whoever has the signing key could have rewritten everything. Keep heads elsewhere: audit head --out FILE',
    );
  }
  return lines.join('\n');
}

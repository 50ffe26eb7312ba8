import { Command } from 'commander';
import { parseHead, parsePinnedKey } from '../../audit/seal/head.ts';
import { verifyLog } from '../../audit/verify.ts';
import type { Verification } from '../../audit/verify/verification.ts';
import { toJson } from '../../audit/to-json.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { print, printJson } from '../terminal/output.ts';
import { styled } from '../terminal/styled.ts';
import { createProgress } from '../terminal/progress.ts';
import { readTextFile } from '../terminal/text-file.ts';
import { withStore } from '../argument/with-store.ts';

interface VerifyOptions extends ConfigOptions {
  head?: string;
  key?: string;
  json?: true;
}

/** `odontology-webhooks audit verify` */
export function auditVerifyCommand(): Command {
  return new Command('verify')
    .description(
      'prove the log and all that lists show from it; name the first row that was edited, deleted, inserted or reordered',
    )
    .addOption(configOption())
    .option(
      '--head <file>',
      'what `audit head` wrote earlier, or an audit.sealed webhook brought: finds even a rewrite of everything',
    )
    .option(
      '--key <file>',
      'the public key that must have signed it, as `audit head` showed it earlier, or a head (default: audit.key)',
    )
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Exit code 1 when something is wrong.

Examples:
  $ odontology-webhooks audit verify
  $ odontology-webhooks audit verify --head /mnt/notary/head-2026-03.json
  $ odontology-webhooks audit verify --key /etc/odontology-webhooks/seal-key`,
    )
    .action(async (options: VerifyOptions) => {
      const head = options.head === undefined ? undefined : parseHead(readTextFile(options.head));
      const key = options.key === undefined ? undefined : parsePinnedKey(readTextFile(options.key));
      const progress = createProgress('verifying');
      const verification = await withStore(
        options,
        ({ config, ...vault }) => {
          const fingerprint = key ?? config.audit.key;
          return verifyLog(vault, {
            ...(head && { head }),
            ...(fingerprint !== null && { fingerprint }),
            onProgress: (done, total) => progress.update(done, total),
          });
        },
        { anyLog: true },
      ).finally(() => progress.end());
      if (options.json) printJson(toJson(verification));
      else print(formatVerification(verification));
      if (!verification.ok) process.exitCode = 1;
    });
}

function formatVerification(verification: Verification): string {
  const { flaw, seals, entries, deliveries, payloads, unsealed } = verification;
  const { firstSeal, lastSeal, lastHash, fingerprint, sqlActs, refused } = verification;
  const lines = [...notProved(verification)];
  if (flaw) {
    lines.push(
      `${styled('red', flaw.kind)}: ${flaw.message}`,
      `Before it, ${entries} entries in ${seals} seals are as they were sealed.`,
    );
  } else {
    lines.push(
      `${styled('green', 'untouched')}: ${entries} entries in ${seals} seals (${firstSeal} to ${lastSeal}) are as they were sealed.`,
      `${deliveries} deliveries are as their attempts and the acts on record say.`,
    );
  }
  lines.push(
    `Payloads: ${payloads.proved} proved, ${payloads.pruned} pruned by retention, ${payloads.erased} erased on record.`,
  );
  if (sqlActs > 0) lines.push(`${sqlActs} changes of webhooks were made by SQL: audit log --actor SQL`);
  if (refused.length > 0)
    lines.push(`Not sent, because SQL had added or edited them: deliveries ${refused.join(', ')}.`);
  if (!flaw && unsealed > 0) lines.push(`${unsealed} attempts and acts are newer than the last seal.`);
  if (fingerprint) lines.push(`Key ${fingerprint}`, `Head ${lastSeal} ${lastHash}`);
  return lines.join('\n');
}

/** The first line: what this verification cannot prove. */
function notProved({ unproved, lastSeal, unsealed, flaw }: Verification): string[] {
  if (lastSeal === 0 && !flaw)
    return unsealed === 0
      ? []
      : [`Nothing is proved: no seal is there, and ${unsealed} attempts and acts are.`];
  if (unproved.length === 0) return [];
  const what = [
    ...(unproved.includes('end') ? ['that nothing was cut off at the end (--head FILE)'] : []),
    ...(unproved.includes('key') ? ['that the key is the old one (--key FILE)'] : []),
    ...(unproved.includes('origin') ? ['that SQL added no event in the seconds before its seal'] : []),
  ];
  return [`Not proved: ${what.join('; ')}.`];
}

import { Command } from 'commander';
import type { CheckResult, PreflightReport } from '../../binlog/preflight/preflight.ts';
import { checkStoreSchema } from '../../daemon/check/check-store-schema.ts';
import { inspectSealedLog } from '../../daemon/check/inspect-sealed-log.ts';
import type { CheckedDraft } from '../../daemon/validate-start.ts';
import { openStore } from '../../db/connection/client.ts';
import type { AppError } from '../../lib/errors.ts';
import { formatTriggerScript, readTriggerScript } from './check-triggers.ts';
import {
  addDecodeOptions,
  checkDecode,
  decodeJson,
  decodeResult,
  formatDecode,
  type DecodeOptions,
} from './decode.ts';
import { checkListening } from './listening.ts';
import { checkDraft } from './check-draft.ts';
import { formatReport } from './report.ts';
import { checkStorePrivacy } from './store-privacy.ts';
import { configOf, configOption, draftOf, type ConfigOptions } from '../argument/config-option.ts';
import { print, printExact, printJson } from '../terminal/output.ts';

/** `odontology-webhooks check` */
export function checkCommand(): Command {
  const command = new Command('check')
    .description('check the source, the store, the rules and the webhooks as `run` does at its start')
    .addOption(configOption())
    .option(
      '--triggers',
      'print the triggers that make cascades of foreign keys appear in the log, and change nothing',
    )
    .option('--json', 'print the report as JSON');
  return addDecodeOptions(command)
    .addHelpText(
      'after',
      '\nEvery line that does not pass comes with its remedy, ready to paste. Exit code 1 when one\nfails, 2 when it is a mistake in the configuration or the rules.',
    )
    .action(async (options: ConfigOptions & DecodeOptions & { json?: true; triggers?: true }) => {
      if (options.triggers) {
        const script = await readTriggerScript(configOf(options));
        if (options.json) printJson(script);
        else printExact(formatTriggerScript(script));
        return;
      }
      const draft = draftOf(options);
      const { config } = draft;
      const { preflight, configuration, mistakes } = await checkDraft(draft);
      const listening = draft.isReplaced(['http', 'listen']) ? null : await checkListening(config.http);
      const checked = withLines(preflight, [
        ...configuration,
        ...(listening ? [listening.line] : []),
        ...(draft.isStoreUnknown ? [] : checkStorePrivacy(config)),
        ...(await checkStore(draft)),
      ]);
      // A binlog that cannot be read cannot be compared.
      const decode = options.decode && checked.ok ? await checkDecode(config, options) : undefined;
      const report = decode ? withLines(checked, [decodeResult(decode)]) : checked;
      if (options.json) printJson(decode ? { ...report, decode: decodeJson(decode) } : report);
      else print([formatReport(report), ...(decode ? [formatDecode(decode)] : [])].join('\n\n'));
      if (!report.ok)
        process.exitCode = Math.max(
          1,
          ...[...mistakes, ...(listening?.mistake ? [listening.mistake] : [])].map(exitCodeOf),
        );
    });
}

/** 2 for mistakes in the configuration, the exit code of `run`. */
const exitCodeOf = ({ code, exitCode }: AppError): number => (code === 'ERR_PREFLIGHT' ? 1 : exitCode);

function withLines(report: PreflightReport, lines: readonly CheckResult[]): PreflightReport {
  const ok = report.ok && lines.every(({ level }) => level !== 'fail');
  return { ...report, ok, checks: [...report.checks, ...lines] };
}

async function checkStore({ config, isStoreUnknown }: CheckedDraft): Promise<CheckResult[]> {
  if (isStoreUnknown) {
    const detail = 'The address of the store must be corrected first.';
    return [{ id: 'sealed-log', title: 'Sealed log', level: 'skip', detail, remedy: null }];
  }
  const store = openStore(config.store.url, { connections: 1 });
  try {
    return [await checkStoreSchema(store), await inspectSealedLog(store, config)];
  } finally {
    await store.close();
  }
}

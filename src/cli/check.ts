import { Command } from 'commander';
import { runPreflight, type CheckResult, type PreflightReport } from '../binlog/preflight/preflight.ts';
import { openSource, type Source } from '../binlog/source.ts';
import type { Config } from '../config/types.ts';
import { readClinic } from '../daemon/clinic.ts';
import { filterNames } from '../daemon/in-force.ts';
import { openStore } from '../db/client.ts';
import { probeStore } from '../db/probe-store.ts';
import type { Rules } from '../event/types.ts';
import { AppError } from '../lib/errors.ts';
import { readCaptureState } from '../outbox/checkpoint.ts';
import type { Checkpoint } from '../outbox/types.ts';
import { formatTriggerScript, readTriggerScript } from './check-triggers.ts';
import {
  addDecodeOptions,
  checkDecode,
  decodeJson,
  decodeResult,
  formatDecode,
  type DecodeOptions,
} from './check/decode.ts';
import { configOf, configOption, type ConfigOptions } from './config-option.ts';
import { formatTable, print, printJson, styled } from './output.ts';

type Level = CheckResult['level'];

/** `odontology-webhooks check` */
export function checkCommand(): Command {
  const command = new Command('check')
    .description('ask the source everything that must hold before its log is read')
    .addOption(configOption())
    .option(
      '--triggers',
      'print the triggers that make cascades of foreign keys appear in the log, and change nothing',
    )
    .option('--json', 'print the report as JSON');
  return addDecodeOptions(command)
    .addHelpText(
      'after',
      '\nEvery line that does not pass comes with what mends it, ready to paste. Exit code 1 when one fails.',
    )
    .action(async (options: ConfigOptions & DecodeOptions & { json?: true; triggers?: true }) => {
      if (options.triggers) {
        const script = await readTriggerScript(configOf(options));
        if (options.json) printJson(script);
        else print(formatTriggerScript(script));
        return;
      }
      const config = configOf(options);
      const checked = await checkSource(config);
      // What cannot be read cannot be compared.
      const decode = options.decode && checked.ok ? await checkDecode(config, options) : undefined;
      const report = decode ? withLine(checked, decodeResult(decode)) : checked;
      if (options.json) printJson(decode ? { ...report, decode: decodeJson(decode) } : report);
      else print([formatReport(report), ...(decode ? [formatDecode(decode)] : [])].join('\n\n'));
      if (!report.ok) process.exitCode = 1;
    });
}

function withLine(report: PreflightReport, line: CheckResult): PreflightReport {
  return { ...report, ok: report.ok && line.level !== 'fail', checks: [...report.checks, line] };
}

/** The preflight of `run`, without a migration and without a daemon. Throws ERR_RULES for mistakes in the rules file. */
async function checkSource(config: Config): Promise<PreflightReport> {
  const source = openSource(config.source.url);
  try {
    const [{ watch, named }, state] = await Promise.all([readTables(source, config), readState(config)]);
    return await runPreflight({
      source,
      watch,
      named,
      ...(state.serverId === null ? {} : { serverId: state.serverId }),
      readerRuns: state.readerRuns,
      checkpoint: state.checkpoint && { ...state.checkpoint, serverUuid: state.checkpoint.serverUuid ?? '' },
      probeStore: () => probeStore(config.store.url),
    });
  } finally {
    await source.close();
  }
}

/** A source that cannot be asked is told of by the preflight itself. */
async function readTables(source: Source, config: Config): Promise<Pick<Rules, 'watch' | 'named'>> {
  try {
    return (await readClinic(source, config, { filterNames: filterNames(config.webhooks) })).rules;
  } catch (error) {
    if (error instanceof AppError && error.code.startsWith('ERR_SOURCE_'))
      return { watch: new Map(), named: new Map() };
    throw error;
  }
}

interface State {
  checkpoint: Checkpoint | null;
  serverId: number | null;
  /** Whether a daemon holds the capture lease now. */
  readerRuns: boolean;
}

/** What a store that was used before knows. One that was not, or does not answer, knows nothing: the preflight tells. */
async function readState({ store: { url }, source }: Config): Promise<State> {
  const store = openStore(url, { connections: 1 });
  try {
    const { checkpoint } = await readCaptureState(store);
    const [installation] = await store.rows<{ serverId: number }>(
      'SELECT server_id AS serverId FROM installation',
    );
    const held = await store.rows(
      "SELECT 1 FROM leases WHERE name = 'capture' AND expires_at > UTC_TIMESTAMP(3)",
    );
    return {
      checkpoint,
      serverId: source.serverId ?? installation?.serverId ?? null,
      readerRuns: held.length > 0,
    };
  } catch {
    return { checkpoint: null, serverId: source.serverId, readerRuns: false };
  } finally {
    await store.close();
  }
}

const colours = { pass: 'green', warn: 'yellow', fail: 'red', skip: 'dim' } as const;

/**
 * The report for people: a line for each check, then what mends what does not pass, at the beginning of the line so that it can
 * be copied. `only` leaves out the checks of other levels.
 */
export function formatReport(report: PreflightReport, { only }: { only?: readonly Level[] } = {}): string {
  const checks = report.checks.filter(({ level }) => only === undefined || only.includes(level));
  const mark = (level: Level): string => styled(colours[level], level);
  const lines = checks.map(({ level, title, detail }) => [mark(level), title, detail]);
  const remedies = checks.flatMap(({ title, level, remedy }) =>
    remedy === null ? [] : [`${mark(level)} ${styled('bold', title)}\n${remedy}`],
  );
  const count = (level: Level): number => report.checks.filter((check) => check.level === level).length;
  const verdict = report.ok ? 'ready to be read' : 'not ready to be read';
  return [
    `${report.server}: ${verdict} (${count('fail')} fail, ${count('warn')} warn, ${count('skip')} skipped, ${count('pass')} pass)`,
    formatTable(['', 'check', 'finding'], lines),
    ...(remedies.length > 0 ? [`${styled('bold', 'What mends it:')}\n\n${remedies.join('\n\n')}`] : []),
  ].join('\n\n');
}

import { placeOf } from '../../db/connection/database-url.ts';
import { systemClock } from '../../lib/clock.ts';
import { errnoOf } from '../../db/connection/connect-error.ts';
import { AppError, codeOf } from '../../lib/errors.ts';
import { nameVersion } from '../source/server-version.ts';
import type { Check, CheckLevel, Facts, Finding, PreflightOptions, StoreLimits } from './check.ts';
import { collectFacts } from './facts.ts';
import { grantChecks } from './grants.ts';
import { logSafetyChecks, logSettingChecks } from './log-settings.ts';
import { managed, providerOf, toManagedRemedy, type Provider } from './managed.ts';
import { retention } from './retention.ts';
import { storeChecks, tryStore, writable } from './store.ts';
import { environmentChecks } from './server-environment.ts';
import { tableChecks } from './tables.ts';

export interface CheckResult {
  /** A stable identifier: `binlog-format`. */
  id: string;
  title: string;
  level: CheckLevel;
  detail: string;
  /** The remedy, ready to paste; null when there is nothing to fix. */
  remedy: string | null;
}

export interface PreflightReport {
  /** Whether capture may begin: no check fails. */
  ok: boolean;
  /** `MySQL 9.7.4 at db.example.com:3306, schema ontology_db`. */
  server: string;
  checks: readonly CheckResult[];
}

const checks: readonly Check[] = [
  managed,
  ...logSettingChecks,
  ...grantChecks,
  ...tableChecks,
  ...logSafetyChecks,
  retention,
  ...environmentChecks,
  ...storeChecks,
];

/**
 * Runs every check that must pass before the source's log is read, and returns a remedy for each failed check. The same checks run at
 * start, on reconnect and hourly. Never throws because of a server's response: an unreachable server is a failed check, too. Throws
 * ERR_DRIVER when the installed mysql2 lacks a member that the reader needs.
 */
export async function runPreflight(options: PreflightOptions): Promise<PreflightReport> {
  const { source } = options;
  const place = `${placeOf(source.url)}, schema ${source.url.database}`;
  let facts: Facts;
  try {
    facts = await collectFacts({ lookups: new Map(), clock: systemClock, ...options });
  } catch (error) {
    // A fault of this installation, which no response of the server changes.
    if (error instanceof AppError && error.code === 'ERR_DRIVER') throw error;
    const store = options.probeStore ? [await checkStore(options.probeStore)] : [];
    return { ok: false, server: place, checks: [unreachable(error), ...store] };
  }
  const provider = providerOf(facts);
  const results: CheckResult[] = [{ ...reachable, detail: `As ${facts.identity.account}.` }];
  for (const check of checks) {
    const finding = await runCheck(check, facts);
    if (finding) results.push(toResult(check, finding, provider));
  }
  return {
    ok: results.every(({ level }) => level !== 'fail'),
    server: `${nameVersion(facts.identity.version)} at ${place}`,
    checks: results,
  };
}

/** Runs only the store's check, for when nothing is known about the source. */
export async function checkStore(probeStore: () => Promise<StoreLimits>): Promise<CheckResult> {
  return { id: writable.id, title: writable.title, remedy: null, ...(await tryStore(probeStore)) };
}

function toResult({ id, title }: Check, finding: Finding, provider: Provider | null): CheckResult {
  const { remedy = null } = finding;
  const fit = remedy === null || provider === null ? remedy : toManagedRemedy(remedy, provider);
  return { id, title, ...finding, remedy: fit };
}

const reachable = { id: 'connection', title: 'Connection', level: 'pass', remedy: null } as const;

function unreachable(error: unknown): CheckResult {
  const known = error instanceof AppError ? error : unexpected(error);
  return { ...reachable, level: 'fail', detail: known.message, remedy: known.remedy };
}

async function runCheck(check: Check, facts: Facts): Promise<Finding | null> {
  try {
    return await check.run(facts);
  } catch (error) {
    const known = error instanceof AppError ? error : unexpected(error);
    return { level: 'fail', detail: `It could not be checked: ${known.message}`, remedy: known.remedy };
  }
}

/** The server's own text is not repeated: it may contain a value. */
function unexpected(error: unknown): AppError {
  const number = errnoOf(error);
  if (number === undefined) throw error;
  return new AppError(
    'ERR_SOURCE_ACCESS',
    `the server refused the question (${codeOf(error) ?? 'error'} ${number}).`,
    {
      remedy:
        'odontology-webhooks check --json -- run it again; if it stays, report it with the server version',
    },
  );
}

import type { CheckResult, PreflightReport } from '../../binlog/preflight/preflight.ts';
import type { Log } from '../../lib/log.ts';
import { createLoop, type Background } from '../../lib/loop/loop.ts';
import type { FailureLog } from '../../lib/loop/failure-log.ts';

/** Settings change while the daemon runs: the preflight runs again at this interval, and whenever a reader had to be reopened. */
const EVERY_MS = 3_600_000;
/** Interval while a check fails, so that its repair is noticed soon. */
const AGAIN_MS = 30_000;
/** Capture itself reports these at once. */
const toldByCapture = new Set(['connection', 'lineage']);

export interface PreflightWatchOptions {
  /** The report of the start. */
  first: PreflightReport;
  ask(): Promise<PreflightReport>;
  log: Log;
  outages: FailureLog;
  onReport(report: PreflightReport): void;
}

/** Runs the preflight in a running daemon: failures are reported and stop nothing. */
export interface PreflightWatch extends Background {
  failing(): readonly CheckResult[];
  /** Runs the preflight now. */
  wake(): void;
}

export function createPreflightWatch({
  first,
  ask,
  log,
  outages,
  onReport,
}: PreflightWatchOptions): PreflightWatch {
  let failing: readonly CheckResult[] = [];
  let report: PreflightReport | undefined = first;
  /** The last report of each check: a finding is reported once. */
  let told = new Map<string, string>();

  const loop = createLoop({
    async step() {
      const { checks } = (report ??= await ask());
      onReport(report);
      report = undefined;
      if (checks.some(({ id, level }) => id === 'connection' && level === 'fail')) return AGAIN_MS;
      const findings = checks.filter(({ id, level }) => isFinding(level) && !toldByCapture.has(id));
      for (const { id, detail, remedy } of findings) {
        if (told.get(id) !== detail) log.warn({ check: id, remedy }, detail);
      }
      told = new Map(findings.map(({ id, detail }) => [id, detail]));
      failing = findings.filter(({ level }) => level === 'fail');
      return failing.length > 0 ? AGAIN_MS : EVERY_MS;
    },
    ...outages.part('the preflight could not be asked again'),
  });
  return {
    start: () => loop.start(),
    stop: () => loop.stop(),
    wake: () => loop.wake(),
    failing: () => failing,
  };
}

const isFinding = (level: CheckResult['level']): boolean => level === 'fail' || level === 'warn';

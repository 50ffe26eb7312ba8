import type { CheckResult } from '../../binlog/preflight/preflight.ts';
import { soundDraft } from '../../daemon/validate-start.ts';
import { wrapProse } from '../terminal/wrap.ts';
import { tableColumns } from '../terminal/terminal.ts';
import { styled } from '../terminal/styled.ts';
import type { OpenedStore } from '../argument/with-store.ts';
import { checkDraft } from './check-draft.ts';
import { inspectSealedLog } from './sealed-log.ts';
import { checkStoreSchema } from './store-schema.ts';

/**
 * The checks of `check` that fail now: each keeps `/readyz` of a running daemon at 503. What the caller shows by itself, such as a halt, is
 * left out by `except`.
 */
export async function findFailingChecks(
  { config, store }: Pick<OpenedStore, 'config' | 'store'>,
  except: readonly string[] = [],
): Promise<CheckResult[]> {
  const { preflight, configuration } = await checkDraft(soundDraft(config));
  const ofStore = [await checkStoreSchema(store), await inspectSealedLog(store, config)];
  const all = [...preflight.checks, ...configuration, ...ofStore];
  return all.filter(({ level, id }) => level === 'fail' && !except.includes(id));
}

/** Each with its remedy at the beginning of a line, in the words of `check`. */
export function formatFailingChecks(checks: readonly CheckResult[]): string {
  return checks
    .map(({ title, detail, remedy }) =>
      [
        `${styled('bold', title)}: ${detail}`,
        ...(remedy === null ? [] : [wrapProse(remedy, tableColumns())]),
      ].join('\n'),
    )
    .join('\n\n');
}

import type { CheckResult } from '../../binlog/preflight/preflight.ts';
import type { Source } from '../../binlog/source/source.ts';
import type { Config } from '../../config/types.ts';
import type { Store } from '../../db/connection/client.ts';
import { tryReadKnownState } from '../known-state.ts';
import { soundDraft, validateStart } from '../validate-start.ts';
import { checkStoreSchema } from './check-store-schema.ts';
import { inspectSealedLog } from './inspect-sealed-log.ts';

interface Asked {
  config: Config;
  source: Source;
  store: Store;
}

/**
 * Returns the checks of `check` that fail now, with or without a daemon: each keeps `/readyz` of a running daemon at 503. `except` omits
 * what the caller shows itself, such as a halt.
 */
export async function findFailingChecks(
  { config, source, store }: Asked,
  except: readonly string[] = [],
): Promise<CheckResult[]> {
  const known = await tryReadKnownState(store, config);
  const { preflight, configuration } = await validateStart(soundDraft(config), { source, known });
  const ofStore = [await checkStoreSchema(store), await inspectSealedLog(store, config)];
  const all = [...preflight.checks, ...configuration, ...ofStore];
  return all.filter(({ level, id }) => level === 'fail' && !except.includes(id));
}

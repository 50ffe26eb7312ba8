import { openSource } from '../../binlog/source/source.ts';
import { validateStart, type CheckedDraft, type StartReport } from '../../daemon/validate-start.ts';
import { tryReadKnownState, unknownState, type KnownState } from '../../daemon/known-state.ts';
import { openStore } from '../../db/connection/client.ts';

/** Runs the checks of the start of `run`, without a migration and without a daemon. */
export async function checkDraft(draft: CheckedDraft): Promise<StartReport> {
  const source = draft.isWrong(['source', 'url']) ? null : openSource(draft.config.source.url);
  try {
    return await validateStart(draft, { source, known: await readState(draft) });
  } finally {
    await source?.close();
  }
}

async function readState({ config, isStoreUnknown }: CheckedDraft): Promise<KnownState> {
  if (isStoreUnknown) return unknownState(config);
  const store = openStore(config.store.url, { connections: 1 });
  try {
    return await tryReadKnownState(store, config);
  } finally {
    await store.close();
  }
}

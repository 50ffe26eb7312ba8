import { openSource } from '../../binlog/source/source.ts';
import { judgeStart, type JudgedDraft, type Judgement } from '../../daemon/judge-start.ts';
import { nothingKnown, readKnownState, type KnownState } from '../../daemon/known-state.ts';
import { openStore } from '../../db/connection/client.ts';

/** What `run` judges at its start, without a migration and without a daemon. */
export async function judgeDraft(draft: JudgedDraft): Promise<Judgement> {
  const source = draft.isWrong(['source', 'url']) ? null : openSource(draft.config.source.url);
  try {
    return await judgeStart(draft, { source, known: await readState(draft) });
  } finally {
    await source?.close();
  }
}

/** The state of a store that was not used before, or does not answer, is unknown: the preflight reports what keeps it from answering. */
async function readState({ config, isStoreUnknown }: JudgedDraft): Promise<KnownState> {
  if (isStoreUnknown) return { ...nothingKnown, serverId: config.source.serverId };
  const store = openStore(config.store.url, { connections: 1 });
  try {
    return await readKnownState(store, config);
  } catch {
    return { ...nothingKnown, serverId: config.source.serverId };
  } finally {
    await store.close();
  }
}

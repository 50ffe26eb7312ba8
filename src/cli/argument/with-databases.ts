import { openSource, type Source } from '../../binlog/source/source.ts';
import type { ConfigOptions } from './config-option.ts';
import { withStore, type OpenedStore } from './with-store.ts';

/** Opens the source and the migrated store for one command. */
export function withDatabases<T>(
  options: ConfigOptions,
  work: (opened: OpenedStore & { source: Source }) => Promise<T>,
): Promise<T> {
  return withStore(options, async (opened) => {
    const source = openSource(opened.config.source.url);
    try {
      return await work({ ...opened, source });
    } finally {
      await source.close();
    }
  });
}

import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';

/** Ears on the folders of some files. */
export interface FolderWatch {
  /** Listens for these files from now on, and for no others. */
  follow(files: readonly string[]): void;
  close(): void;
}

/**
 * Calls `onEvent` when something happens to one of the files. It listens to their folders, because editors and Kubernetes
 * replace a file by renaming another one over it, which ends a watch on the file itself. It is a hint: a folder that is
 * not there, or whose file system reports nothing, stays silent.
 */
export function watchFolders(onEvent: () => void): FolderWatch {
  const watchers = new Map<string, FSWatcher>();
  let names = new Set<string>();

  function listen(folder: string): void {
    try {
      const watcher = watch(folder, (_event, name) => {
        // Kubernetes turns a link called ..data to a folder with the new files.
        if (name === null || names.has(name) || name.startsWith('..')) onEvent();
      });
      watcher.on('error', () => forget(folder));
      watchers.set(folder, watcher);
    } catch {
      // Polling serves until the folder is there.
    }
  }

  function forget(folder: string): void {
    watchers.get(folder)?.close();
    watchers.delete(folder);
  }

  return {
    follow(files) {
      names = new Set(files.map((file) => basename(file)));
      const folders = new Set(files.map((file) => dirname(resolve(file))));
      for (const folder of watchers.keys()) if (!folders.has(folder)) forget(folder);
      for (const folder of folders) if (!watchers.has(folder)) listen(folder);
    },
    close() {
      for (const folder of watchers.keys()) forget(folder);
    },
  };
}

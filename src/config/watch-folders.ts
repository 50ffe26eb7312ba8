import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';

/** Watches the folders of a set of files. */
export interface FolderWatch {
  /** Watches these files from now on, and no others. */
  follow(files: readonly string[]): void;
  close(): void;
}

/**
 * Calls `onEvent` when something happens to one of the files. It watches their folders, because editors and Kubernetes replace a file by renaming another
 * one over it, which ends a watch on the file itself. The events are only hints: a missing folder, or a file system without notifications, causes no
 * event.
 */
export function watchFolders(onEvent: () => void): FolderWatch {
  const watchers = new Map<string, FSWatcher>();
  let names = new Set<string>();

  function listen(folder: string): void {
    try {
      const watcher = watch(folder, (_event, name) => {
        // Kubernetes points a link called ..data to a folder with the new files.
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

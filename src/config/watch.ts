import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { monotonicMs } from '../lib/clock.ts';
import { AppError } from '../lib/errors.ts';
import { type Background, createLoop } from '../lib/loop/loop.ts';
import type { Environment } from './yaml/env.ts';
import { loadConfig } from './load.ts';
import type { Config } from './types.ts';
import { watchFolders } from './watch-folders.ts';

export interface ConfigChange {
  config: Config;
  /** Whether the rules must be read again: their file was edited, or the configuration names another file. */
  rulesChanged: boolean;
}

export interface WatchOptions {
  /**
   * Called for every valid edit. It may refuse an edit by throwing an AppError (an unknown event, rules that do not compile): the error goes to
   * `onInvalid` and the edit is not retried. Any other error goes there too, and the edit is retried with growing delays until it is accepted.
   */
  onChange(change: ConfigChange): Promise<void> | void;
  /** Called with the reason why an edit was refused; the present configuration stays in force. */
  onInvalid(error: unknown): void;
  env?: Environment;
}

export interface ConfigWatch extends Background {
  /** Loads both files again and passes them to `onChange`, also when neither was edited: what SIGHUP asks for. */
  reload(): void;
}

/** SHA-256 of both files; null for a missing file. */
interface Fingerprints {
  config: string | null;
  rules: string | null;
}

/** A file must stay unchanged this long, because editors write in several steps. */
const settleMs = 100;
/** Polling finds edits for which the system sends no event: network file systems, bind mounts of containers, folders that are removed and created again. */
const pollMs = 2_000;

/**
 * Watches the configuration file and its rules file. Create it before the rules of the present configuration are read, so that no edit is missed; `start`
 * it when changes can be applied.
 *
 * An edit is: seen → settled → loaded (else refused) → accepted by `onChange` (else refused).
 */
export function watchConfig(
  initial: Config,
  { onChange, onInvalid, env = process.env }: WatchOptions,
): ConfigWatch {
  let inForce = { config: initial, rules: fingerprintOf(initial.rulesFile) };
  /** The rules file of the last configuration that could be loaded, in force or not. */
  let rulesFile = initial.rulesFile;
  /** The files last passed to `onChange`; undefined when it must be called again. */
  let checked: Fingerprints | undefined = { config: initial.fingerprint, rules: inForce.rules };
  let settling: { fingerprints: Fingerprints; sinceMs: number } | undefined;
  /** Why the file cannot be loaded. Every step retries, because a file that it names may have been missing. */
  let refusal: string | undefined;

  async function step(): Promise<number> {
    listen();
    const now = { config: fingerprintOf(initial.file), rules: fingerprintOf(rulesFile) };
    if (!isSame(now, checked)) {
      if (!settling || !isSame(now, settling.fingerprints)) {
        settling = { fingerprints: now, sinceMs: monotonicMs() };
      }
      const restMs = settling.sinceMs + settleMs - monotonicMs();
      if (restMs > 0) return restMs;
    } else if (refusal === undefined) {
      return pollMs;
    }
    const config = load(now);
    if (config) await bring(config);
    return pollMs;
  }

  function load(now: Fingerprints): Config | undefined {
    try {
      const config = loadConfig(initial.file, env);
      refusal = undefined;
      return config;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      checked = now;
      if (error.message !== refusal) onInvalid(error);
      refusal = error.message;
      return undefined;
    }
  }

  async function bring(config: Config): Promise<void> {
    rulesFile = config.rulesFile;
    listen();
    const rules = fingerprintOf(rulesFile);
    const rulesChanged = rulesFile !== inForce.config.rulesFile || rules !== inForce.rules;
    checked = { config: config.fingerprint, rules };
    try {
      await onChange({ config, rulesChanged });
      inForce = { config, rules };
    } catch (error) {
      if (error instanceof AppError && !error.retryable) {
        onInvalid(error);
      } else {
        checked = undefined;
        throw error;
      }
    }
  }

  function listen(): void {
    folders.follow(rulesFile === null ? [initial.file] : [initial.file, rulesFile]);
  }

  const loop = createLoop({ step, onError: onInvalid });
  const folders = watchFolders(() => loop.wake());
  return {
    start: () => loop.start(),
    reload() {
      checked = undefined;
      loop.wake();
    },
    async stop() {
      await loop.stop();
      folders.close();
    },
  };
}

function isSame(a: Fingerprints, b: Fingerprints | undefined): boolean {
  return a.config === b?.config && a.rules === b.rules;
}

function fingerprintOf(file: string | null): string | null {
  if (file === null) return null;
  try {
    return createHash('sha256').update(readFileSync(file)).digest('hex');
  } catch {
    return null;
  }
}

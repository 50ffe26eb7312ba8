import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { monotonicMs, sleep } from '../../src/lib/clock.ts';

const bin = new URL('../../src/cli/bin.js', import.meta.url).pathname;
const restartAfterMs = 100;
const LISTENS_WITHIN_MS = 60_000;

export interface KeeperOptions {
  configFile: string;
  env: Record<string, string>;
  onLine(line: string): void;
}

export interface KeeperCounts {
  starts: number;
  kills: number;
  /** Ended by itself: with the database away, a start fails. */
  ended: number;
  /** Readers of the log that were opened. */
  readers: number;
}

/** Keeps `run` running, as a service manager does: starts it again whenever it ends. */
export interface DaemonKeeper {
  readonly counts: KeeperCounts;
  /** SIGKILL, at whatever point of its life it is. */
  kill(): void;
  /** SIGTERM, and its exit code. Waits until it listens: before that, the signal ends it as it would any process. */
  stop(): Promise<number | null>;
}

export function keepDaemon({ configFile, env, onLine }: KeeperOptions): DaemonKeeper {
  const counts: KeeperCounts = { starts: 0, kills: 0, ended: 0, readers: 0 };
  const stopping = new AbortController();
  let child: ChildProcess | undefined;
  let killed = false;
  let listening = Promise.withResolvers<undefined>();

  async function live(): Promise<number | null> {
    counts.starts += 1;
    killed = false;
    listening = Promise.withResolvers();
    child = spawn(process.execPath, [bin, 'run', '--config', configFile], {
      env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (line.includes('"msg":"capturing"')) counts.readers += 1;
      if (line.includes('"msg":"listening"')) listening.resolve(undefined);
      onLine(line);
    });
    createInterface({ input: child.stderr! }).on('line', onLine);
    const [code] = (await once(child, 'close')) as [number | null];
    if (!killed && !stopping.signal.aborted) counts.ended += 1;
    return code;
  }

  async function keep(): Promise<number | null> {
    for (;;) {
      const code = await live();
      if (stopping.signal.aborted) return code;
      await sleep(restartAfterMs, stopping.signal);
      if (stopping.signal.aborted) return code;
    }
  }

  const kept = keep();
  return {
    counts,
    kill() {
      counts.kills += 1;
      killed = true;
      child?.kill('SIGKILL');
    },
    async stop() {
      // Where it ends by itself instead, a new one is started.
      for (const deadline = monotonicMs() + LISTENS_WITHIN_MS; monotonicMs() < deadline;) {
        const isListening = await Promise.race([listening.promise.then(() => true), sleep(100)]);
        if (isListening === true) break;
      }
      stopping.abort();
      child?.kill('SIGTERM');
      return kept;
    },
  };
}

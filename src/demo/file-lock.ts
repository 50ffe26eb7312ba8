import { access, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { codeOf } from '../lib/errors.ts';
import { sleep } from '../lib/clock.ts';

const abandonedAfterMs = 15 * 60_000;
const pollMs = 100;

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Whether a process with this id exists on this machine. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  try {
    const [owner, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)]);
    const pid = Number(owner);
    return Date.now() - mtimeMs > abandonedAfterMs || (pid > 0 && !isAlive(pid));
  } catch {
    return false;
  }
}

/**
 * Runs `work` while holding a lock file, so that two processes do not repeat the same slow work at once.
 * The lock of a dead process is removed. Two waiting processes may remove it at the same moment, and then both work: the work
 * must be correct if done twice (here it ends in an atomic rename); the lock only saves time.
 */
export async function withFileLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      if (await isAbandoned(path)) await rm(path, { force: true });
      else await sleep(pollMs);
    }
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

/** Removes the `<path>.part-…` folders that a killed process left. Call it while holding the lock. */
export async function removeUnfinished(path: string): Promise<void> {
  const prefix = `${basename(path)}.part-`;
  const left = (await readdir(dirname(path))).filter((name) => name.startsWith(prefix));
  await Promise.all(left.map((name) => rm(join(dirname(path), name), { recursive: true, force: true })));
}

import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive } from '../../../src/demo/file-lock.ts';
import { spawnCli } from '../../support/daemon.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('demo, interrupted', () => {
  let folder: string;
  let children: ReturnType<typeof spawnCli>[];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
    children = [];
  });
  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });

  /** Its temporary files go into a folder of their own, which shows what it leaves behind. */
  function start(env: Record<string, string>, ...options: string[]) {
    const child = spawnCli(['demo', ...options], { TMPDIR: folder, ...env });
    children.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, output }));
    const shows = (text: string) => waitFor(() => output.includes(text), { timeoutMs: 90_000, what: text });
    return { child, ended, shows };
  }

  const usual = { XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache') };

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'while the server is being fetched, ends the download at once, by %s',
    async (signal) => {
      const [bin, cache] = [await mkdtemp(join(folder, 'bin-')), await mkdtemp(join(folder, 'cache-'))];
      const aptGet = join(bin, 'apt-get');
      await writeFile(aptGet, `#!/bin/sh\necho $$ > ${bin}/pid\nexec sleep 600\n`);
      await chmod(aptGet, 0o755);
      const { child, ended } = start({ PATH: `${bin}:/usr/bin:/bin`, XDG_CACHE_HOME: cache });
      const pid = await waitFor(
        async () => Number(await readFile(join(bin, 'pid'), 'utf8').catch(() => '')),
        {
          timeoutMs: 30_000,
          what: 'the download',
        },
      );
      child.kill(signal);
      const { code, output } = await ended;
      expect(code).toBe(1);
      expect(output).toContain('Interrupted');
      expect(output).not.toContain('ERR_');
      expect(isAlive(pid)).toBe(false);
      expect(await readdir(join(cache, 'odontology-webhooks', 'servers'))).toEqual([]);
    },
  );

  it('while the day plays, once or by an impatient hand, leaves nothing and fails', async () => {
    const { child, ended, shows } = start(usual, '--keep');
    await shows('09:00');
    child.kill('SIGINT');
    // What npm passes on comes right behind it.
    child.kill('SIGTERM');
    const { code, output } = await ended;
    expect(code).toBe(1);
    expect(output).toContain('Interrupted');
    expect(await readdir(folder)).toEqual([]);
  });

  it('while it is kept running, is its proper end', async () => {
    const { child, ended, shows } = start(usual, '--keep');
    await shows('Try: curl');
    child.kill('SIGINT');
    const { code, output } = await ended;
    expect(code, output).toBe(0);
    expect(await readdir(folder)).toEqual([]);
  });
});

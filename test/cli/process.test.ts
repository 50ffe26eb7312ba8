import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { openSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { addWebhook, openTestStore, type TestStore } from '../outbox/support.ts';
import { writeConfig } from '../support/daemon.ts';
import { createSchema, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const bin = new URL('../../src/cli/bin.js', import.meta.url).pathname;
const root = new URL('../..', import.meta.url).pathname;

interface Started {
  child: ChildProcess;
  /** Everything written to either output so far. */
  output(): string;
  ended: Promise<number | null>;
  shows(text: string): Promise<unknown>;
}

function start(command: string, args: readonly string[], stdout: 'pipe' | number = 'pipe'): Started {
  const child = spawn(command, args, { cwd: root, stdio: ['pipe', stdout, 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  }
  onTestFinished(() => void child.kill('SIGKILL'));
  return {
    child,
    output: () => output,
    ended: once(child, 'close').then(([code]) => code as number | null),
    shows: (text) => waitFor(() => output.includes(text), { timeoutMs: 60_000, what: text }),
  };
}

/** One command line on a terminal of its own, by util-linux's `script`. */
function startOnTerminal(args: readonly string[]): Started {
  const line = [process.execPath, bin, ...args].map((word) => `'${word}'`).join(' ');
  // Instead of the shell: dash gets the Ctrl-C too, and reports 130 whatever the command returns.
  return start('script', ['--quiet', '--return', '--command', `exec ${line}`, '/dev/null']);
}

describe('a process of odontology-webhooks', () => {
  let clinic: TestSchema;
  let test: TestStore;
  let config: Awaited<ReturnType<typeof writeConfig>>;
  const yaml = (level: string): string => `
source: { url: "${clinic.url()}", heartbeat: 1s }
store: { url: "${test.schema.url()}" }
http: { listen: "127.0.0.1:0" }
log: { level: ${level} }
`;

  beforeAll(async () => {
    clinic = await createSchema(sharedServer('mariadb'));
    await clinic.query('CREATE TABLE patients (id INT PRIMARY KEY, status VARCHAR(20))');
    test = await openTestStore('mariadb');
    await addWebhook(test.vault);
    config = await writeConfig(yaml('info'));
  });
  afterAll(async () => {
    await test.close();
    await clinic.drop();
    await config.remove();
  });

  const run = (): string[] => ['run', '--config', config.file];
  const toArgs = (words: string): string[] =>
    words === '--help' ? [words] : [...words.split(' '), '--config', config.file];

  describe('whose output cannot be written', () => {
    const printing = [
      '--help',
      'events list',
      'status',
      'webhooks list',
      'deliveries export',
      'audit verify',
    ];

    it.each(printing)('ends quietly when its reader has gone: %s', async (words) => {
      const { child, ended, output } = start(process.execPath, [bin, ...toArgs(words)]);
      child.stdout!.destroy();
      // 128 + SIGPIPE, as shells report it.
      expect(await ended).toBe(141);
      expect(output()).toBe('');
    });

    it.each(printing)('names a full disk: %s', async (words) => {
      const { ended, output } = start(process.execPath, [bin, ...toArgs(words)], openSync('/dev/full', 'w'));
      expect(await ended).toBe(1);
      expect(output()).toBe(
        'ERR_OUTPUT: standard output cannot be written (ENOSPC)\n' +
          'Remedy: Write the output to a disk with free space, or into a pipe that is read to its end.\n',
      );
    });

    it.each([
      ['access', 2],
      ['status --bogus', 2],
      ['deliveries show 999999', 1],
      ['status', 0],
    ])('keeps its exit code when standard error is on a full disk: %s', async (words, code) => {
      const child = spawn(process.execPath, [bin, ...toArgs(words)], {
        cwd: root,
        stdio: ['ignore', 'ignore', openSync('/dev/full', 'w')],
      });
      onTestFinished(() => void child.kill('SIGKILL'));
      expect(await once(child, 'close')).toEqual([code, null]);
    });

    it('stops a daemon in order when the reader of its log has gone', async () => {
      const { child, ended, output, shows } = start(process.execPath, [bin, ...run()]);
      await shows('"listening"');
      child.stdout!.destroy();
      child.kill('SIGHUP');
      expect(await ended).toBe(141);
      expect(output()).not.toContain('    at ');
    });

    it('does not stop a daemon whose log is on a full disk', async () => {
      const free = await writeConfig(yaml('info').replace('127.0.0.1:0', '127.0.0.1:18977'));
      onTestFinished(free.remove);
      const { child, ended, output } = start(
        process.execPath,
        [bin, 'run', '--config', free.file],
        openSync('/dev/full', 'w'),
      );
      await waitFor(async () => (await fetch('http://127.0.0.1:18977/readyz')).status === 200, {
        timeoutMs: 60_000,
        what: 'the daemon to be ready',
      });
      child.kill('SIGTERM');
      expect(await ended).toBe(0);
      expect(output()).toBe('');
    });
  });

  describe('that is asked to end, or to read again', () => {
    it('reloads its configuration by SIGHUP, also when no file was edited, and continues', async () => {
      const { child, ended, output, shows } = start(process.execPath, [bin, ...run()]);
      await shows('"capturing"');
      child.kill('SIGHUP');
      await shows('"configuration reloaded"');
      child.kill('SIGTERM');
      expect(await ended, output()).toBe(0);
    });

    it('refuses by SIGHUP a configuration that is not valid, and continues with the old one', async () => {
      const own = await writeConfig(yaml('info'));
      onTestFinished(own.remove);
      const { child, ended, shows } = start(process.execPath, [bin, 'run', '--config', own.file]);
      await shows('"capturing"');
      writeFileSync(own.file, 'sources: {}\n');
      child.kill('SIGHUP');
      await shows('edit was refused');
      child.kill('SIGTERM');
      expect(await ended).toBe(0);
    });

    it('ends with the npm process that started it', async () => {
      // As npm starts a command: a shell between the two, which passes on no signal.
      const started = start('sh', [
        '-c',
        `npm_command=exec "${process.execPath}" "${bin}" run --config "${config.file}"; true`,
      ]);
      await started.shows('"capturing"');
      started.child.kill('SIGTERM');
      await started.shows('"stopped"');
    });

    it.each([
      ['Ctrl-C', '\u0003', 130],
      ['Ctrl-D', '\u0004', 1],
      ['no', 'n\r', 1],
    ])('does nothing when a question is answered by %s, and says so', async (_, keys, code) => {
      const { child, ended, output, shows } = startOnTerminal(['prune', '--config', config.file]);
      await shows('[y/N]');
      child.stdin!.write(keys);
      expect(await ended).toBe(code);
      expect(output()).toContain('Nothing was done.');
      expect(output()).not.toContain('ERR_');
    });
  });

  it('writes its log for people on a terminal, with the same fields', async () => {
    const { child, ended, output, shows } = startOnTerminal(run());
    await shows('capturing');
    child.stdin!.write('\u0003');
    expect(await ended).toBe(0);
    expect(output()).toMatch(/INFO.*: .*listening.*"url":"http:\/\/127\.0\.0\.1:\d+"/);
    expect(output()).not.toContain('"level"');
  });

  describe('in a container', () => {
    it('acts for a user id that has no name', async () => {
      const { ended, output } = start('unshare', [
        '--map-user=12345',
        '--',
        process.execPath,
        bin,
        ...['webhooks', 'disable', '1', '--config', config.file],
      ]);
      expect(await ended, output()).toBe(0);
      const acts = await test.schema.query('SELECT actor FROM audit_log ORDER BY id DESC LIMIT 1');
      expect(acts).toEqual([{ actor: 'uid 12345' }]);
    });

    it('ends by SIGTERM as the first process, which has no default action for a signal', async () => {
      const { child, ended, shows } = start('unshare', [
        '--map-root-user',
        '--pid',
        '--kill-child=SIGKILL',
        '--',
        process.execPath,
        bin,
        ...run(),
      ]);
      await shows('"capturing"');
      const children = await readFile(`/proc/${child.pid!}/task/${child.pid!}/children`, 'utf8');
      process.kill(Number(children.trim()), 'SIGTERM');
      await shows('"stopped"');
      expect(await ended).toBe(0);
    });
  });
});

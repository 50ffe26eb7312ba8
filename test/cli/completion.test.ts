import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callCli } from '../support/call-cli.ts';

const run = promisify(execFile);

describe('completion', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
    await writeFile(join(folder, 'completion.bash'), (await callCli('completion', 'bash')).stdout);
    await writeFile(join(folder, 'clinic.yaml'), '');
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** What a real bash offers behind these words; the last one is being written. */
  async function offered(...words: string[]): Promise<string[]> {
    const script = `. ./completion.bash
COMP_WORDS=(odontology-webhooks "$@"); COMP_CWORD=$#
complete -p odontology-webhooks > /dev/null && _odontology_webhooks && printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await run('bash', ['--norc', '-euc', script, 'bash', ...words], { cwd: folder });
    return stdout.split('\n').filter((word) => word !== '');
  }

  /** The words that stand first on the lines of a part of a `--help`. */
  async function helped(part: string, ...words: string[]): Promise<string[]> {
    const { stdout } = await callCli(...words, '--help');
    const [, lines = ''] = stdout.split(`\n${part}:\n`);
    return [...lines.split('\n\n')[0]!.matchAll(/^ {2}(?:-\w, )?([\w-]+)/gm)].map(([, word]) => word!);
  }

  it('is a script that bash accepts', async () => {
    await expect(run('bash', ['-n', join(folder, 'completion.bash')])).resolves.toMatchObject({ stderr: '' });
  });

  it.each([[], ['webhooks'], ['deliveries'], ['audit'], ['replay']])(
    'offers every command that the help of "%s" names',
    async (...words) => {
      const commands = await helped('Commands', ...words);
      expect(commands.length).toBeGreaterThan(2);
      expect(await offered(...words, '')).toEqual(expect.arrayContaining(commands));
    },
  );

  it.each([
    ['run'],
    ['erase'],
    ['webhooks', 'create'],
    ['deliveries', 'list'],
    ['replay', 'start'],
    ['audit', 'verify'],
  ])('offers every option of %s %s', async (...words) => {
    const options = await helped('Options', ...words);
    expect(options).toContain('--config');
    expect((await offered(...words, '--')).toSorted()).toEqual(options.toSorted());
  });

  it('completes what was begun, values that are few, files, and nothing where anything may stand', async () => {
    expect(await offered('web')).toEqual(['webhooks']);
    expect(await offered('webhooks', 'rot')).toEqual(['rotate-secret']);
    expect(await offered('webhooks', 'Pagos', '--config', 'x', 'up')).toEqual(['update']);
    expect(await offered('replay', '--we')).toEqual(['--webhook']);
    expect(await offered('deliveries', 'list', '--status', 'ex')).toEqual(['exhausted']);
    expect(await offered('deliveries', 'list', '-c', 'clin')).toEqual(['clinic.yaml']);
    expect(await offered('deliveries', 'list', '--patient', '')).toEqual([]);
    expect(await offered('completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
  });

  it('has every command for zsh and fish as well', async () => {
    for (const shell of ['zsh', 'fish']) {
      const { stdout } = await callCli('completion', shell);
      for (const command of await helped('Commands'))
        expect(stdout).toMatch(new RegExp(`[' ]${command}[: ]`));
    }
    expect(await callCli('completion', 'tcsh')).toMatchObject({ code: 2 });
  });
});

import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { watchConfig, type ConfigChange } from '../../src/config/watch.ts';
import { AppError, messageOf } from '../../src/lib/errors.ts';
import { waitFor } from '../support/wait-for.ts';
import { environment as env, makeFolder } from './folder.ts';

const level = (name: string) => `log: { level: ${name} }\n`;
const withRules = `rules: events.yaml\n${level('info')}`;

interface Setup {
  content?: string;
  onChange?: (change: ConfigChange) => Promise<void> | void;
}

/** A folder with both files, watched; what the watch has told so far. */
function setup({ content = level('info'), onChange = () => undefined }: Setup = {}) {
  const folder = makeFolder();
  folder.write('events.yaml', 'events: {}\n');
  const file = folder.write('webhooks.yaml', content);
  const changes: ConfigChange[] = [];
  const refusals: string[] = [];
  const watch = watchConfig(loadConfig(file, env), {
    env,
    onChange(change) {
      changes.push(change);
      return onChange(change);
    },
    onInvalid: (error) => refusals.push(messageOf(error)),
  });
  onTestFinished(() => watch.stop());
  watch.start();
  const levels = () => changes.map(({ config }) => config.log.level);
  return { ...folder, file, watch, changes, refusals, levels };
}

describe('watchConfig', () => {
  it('tells a valid edit, and nothing when nothing was edited', async () => {
    const { file, changes, levels, refusals } = setup();
    writeFileSync(file, level('info'));
    writeFileSync(file, level('warn'));
    await waitFor(() => changes.length > 0, { what: 'the edit' });
    expect([levels(), refusals]).toEqual([['warn'], []]);
    expect(changes[0]?.rulesChanged).toBe(false);
  });

  it('survives editors that replace the file, again and again', async () => {
    const { path, file, write, levels } = setup();
    for (const name of ['warn', 'error', 'debug']) {
      renameSync(write('.webhooks.yaml.swp', level(name)), file);
      await waitFor(() => levels().at(-1) === name, { what: name });
    }
    rmSync(file);
    writeFileSync(join(path, 'webhooks.yaml'), level('info'));
    await waitFor(() => levels().at(-1) === 'info', { what: 'the file that was deleted and written anew' });
  });

  it('takes a burst of writes as one edit, the last', async () => {
    const { file, levels, refusals } = setup();
    for (const part of ['', 'log:', 'log: { lev', 'log: { level: }', level('error')])
      writeFileSync(file, part);
    await waitFor(() => levels().length > 0, { what: 'the edit' });
    expect([levels(), refusals]).toEqual([['error'], []]);
  });

  it('refuses an invalid edit once, and continues with the next valid one', async () => {
    const { file, levels, refusals } = setup();
    writeFileSync(file, 'log: { level: loud }\n');
    await waitFor(() => refusals.length > 0, { what: 'the refusal' });
    expect(refusals).toEqual([expect.stringContaining('webhooks.yaml:1:8 log.level: must be one of')]);
    expect(levels()).toEqual([]);
    writeFileSync(file, level('warn'));
    await waitFor(() => levels().length > 0, { what: 'the corrected file' });
    expect([levels(), refusals.length]).toEqual([['warn'], 1]);
  });

  it('refuses a file that is gone, and takes it when it is back as it was', async () => {
    const { file, changes, refusals } = setup();
    rmSync(file);
    await waitFor(() => refusals.length > 0, { what: 'the refusal' });
    expect(refusals).toEqual([`there is no file ${file}`]);
    writeFileSync(file, level('info'));
    await waitFor(() => changes.length > 0, { what: 'the file' });
    expect(refusals).toHaveLength(1);
  });

  it('tells an edit of the rules file', async () => {
    const { write, changes } = setup({ content: withRules });
    write('events.yaml', 'events: { a.b: {} }\n');
    await waitFor(() => changes.length > 0, { what: 'the edit' });
    expect(changes.map(({ rulesChanged }) => rulesChanged)).toEqual([true]);
    write('webhooks.yaml', `rules: events.yaml\n${level('warn')}`);
    await waitFor(() => changes.length > 1, { what: 'the edit of the configuration' });
    expect(changes[1]?.rulesChanged).toBe(false);
  });

  it('tells that the rules are another file now, and follows that one into its folder', async () => {
    const { path, write, changes } = setup({ content: withRules });
    mkdirSync(join(path, 'rules'));
    write('rules/other.yaml', 'events: {}\n');
    write('webhooks.yaml', `rules: rules/other.yaml\n`);
    await waitFor(() => changes.length === 1, { what: 'the other file' });
    write('rules/other.yaml', 'events: { a.b: {} }\n');
    await waitFor(() => changes.length === 2, { what: 'its edit' });
    expect(changes.map(({ rulesChanged }) => rulesChanged)).toEqual([true, true]);
  });

  it('takes a configuration whose rules file is written after it', async () => {
    const { write, changes, refusals } = setup();
    write('webhooks.yaml', 'rules: late.yaml\n');
    await waitFor(() => refusals.length > 0, { what: 'the refusal' });
    write('late.yaml', 'events: {}\n');
    await waitFor(() => changes.length > 0, { what: 'the configuration' });
    expect([changes[0]?.rulesChanged, refusals.length]).toEqual([true, 1]);
  });

  it('follows the links by which Kubernetes swaps a mounted configuration', async () => {
    const folder = makeFolder();
    const mount = (name: string, content: string) => {
      mkdirSync(join(folder.path, name));
      folder.write(`${name}/webhooks.yaml`, content);
      symlinkSync(name, join(folder.path, '..data_tmp'));
      renameSync(join(folder.path, '..data_tmp'), join(folder.path, '..data'));
    };
    mount('..2026_1', level('info'));
    symlinkSync('..data/webhooks.yaml', join(folder.path, 'webhooks.yaml'));
    const onChange = vi.fn<(change: ConfigChange) => void>();
    const watch = watchConfig(loadConfig(join(folder.path, 'webhooks.yaml'), env), {
      env,
      onChange,
      onInvalid: () => undefined,
    });
    onTestFinished(() => watch.stop());
    watch.start();
    mount('..2026_2', level('warn'));
    await waitFor(() => onChange.mock.calls.length > 0, { what: 'the swap' });
    expect(onChange.mock.calls[0]?.[0].config.log.level).toBe('warn');
  });
});

describe('an edit that is not taken', () => {
  it('is refused by an AppError and not brought again, and the rules stay to be read', async () => {
    const refuse = new AppError('ERR_RULES', 'there is no table "citass"');
    let isGood = false;
    const { write, changes, refusals } = setup({
      content: withRules,
      onChange: () => {
        if (!isGood) throw refuse;
      },
    });
    write('events.yaml', 'events: { wrong: {} }\n');
    await waitFor(() => refusals.length > 0, { what: 'the refusal' });
    isGood = true;
    write('webhooks.yaml', `rules: events.yaml\n${level('warn')}`);
    await waitFor(() => changes.length === 2, { what: 'the next edit' });
    expect(refusals).toEqual(['there is no table "citass"']);
    // The refused rules are still not those in force.
    expect(changes.map(({ rulesChanged }) => rulesChanged)).toEqual([true, true]);
  });

  it('is brought again when something else failed, until it is taken', async () => {
    let failures = 2;
    const { file, levels, refusals } = setup({
      onChange: () => {
        if (failures-- > 0) throw new Error('connection lost');
      },
    });
    writeFileSync(file, level('warn'));
    await waitFor(() => levels().length === 3, { what: 'the third time' });
    expect([levels(), refusals]).toEqual([
      ['warn', 'warn', 'warn'],
      ['connection lost', 'connection lost'],
    ]);
  });
});

describe('start and stop', () => {
  it('are safe twice, and stop is silent before start and after itself', async () => {
    const { file, watch, changes } = setup();
    watch.start();
    await watch.stop();
    await watch.stop();
    writeFileSync(file, level('warn'));
    watch.start();
    await waitFor(() => changes.length > 0, { what: 'the edit made while it was stopped' });
    expect(changes).toHaveLength(1);
    const never = watchConfig(loadConfig(file, env), { env, onChange: vi.fn(), onInvalid: vi.fn() });
    await never.stop();
  });
});

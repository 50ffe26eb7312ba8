import { prettyFactory } from 'pino-pretty';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { styled, forTerminal } from '../../src/cli/terminal/styled.ts';
import { recordAct } from '../../src/audit/act/record-act.ts';
import { escapeJsonTwice } from '../../src/lib/terminal-text.ts';
import { createReplay } from '../../src/outbox/replay/replay.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { callCli } from '../support/call-cli.ts';
import { writeConfig, type CliResult } from '../support/daemon.ts';
import {
  addWebhook,
  claimant,
  delivered,
  eventOf,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestStore,
} from '../outbox/support.ts';

/** Clears the screen, opens a link, turns the direction, in C0, C1, DEL and bidi; and begins a line that looks like ours. */
const hostile = 'x\u001b[2J\u001b]8;;https://evil\u0007\u009b31m\u007f\u202e\u2066\r\nERR_FORGED: y';
/** Shorter, for a column of 64. */
const short = 'x\u001b[2J\u009b\u202e';
const obeyed = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

/** Each command of the program: what it is called with to print what is in the store. `[]`: it prints nothing of it. */
const calls: Record<string, readonly (readonly string[])[]> = {
  '/run': [],
  '/check': [],
  '/migrate': [['--json']],
  '/status': [],
  '/resume': [],
  '/webhooks': [],
  '/webhooks/list': [[], ['--json']],
  '/webhooks/create': [['--name', hostile, '--url', 'https://x.example', '--event', hostile]],
  '/webhooks/update': [
    ['1', '--max-in-flight', '3'],
    [hostile, '--max-in-flight', '3'],
  ],
  '/webhooks/delete': [[hostile], ['2', '--yes']],
  '/webhooks/enable': [[hostile], ['1']],
  '/webhooks/pause': [[hostile], ['1']],
  '/webhooks/resume': [[hostile], ['1']],
  '/webhooks/disable': [[hostile], ['1']],
  '/webhooks/rotate-secret': [[hostile], ['1']],
  '/webhooks/test': [[hostile]],
  '/deliveries': [],
  '/deliveries/list': [[], ['--json'], ['--webhook', hostile]],
  '/deliveries/show': [['1'], ['1', '--json']],
  '/deliveries/retry': [['2']],
  '/deliveries/export': [['--format', 'json']],
  '/replay': [],
  '/replay/start': [['--webhook', hostile, '--since', '1d', '--reason', 'x', '--yes']],
  '/replay/list': [[], ['--json']],
  '/replay/cancel': [['1']],
  '/access': [
    ['--patient', short],
    ['--patient', short, '--json'],
  ],
  '/erase': [['--patient', hostile, '--reason', hostile, '--yes']],
  '/prune': [],
  '/audit': [],
  '/audit/log': [[], ['--json']],
  '/audit/verify': [[], ['--json']],
  '/audit/head': [[]],
  '/audit/begin-anew': [['--reason', hostile, '--yes']],
  '/events': [],
  '/events/list': [],
  '/events/test': [],
  '/receive': [],
  '/demo': [],
  '/completion': [['bash'], ['zsh'], ['fish']],
};

describe('what a terminal is given', () => {
  let test: TestStore;
  let config: Awaited<ReturnType<typeof writeConfig>>;

  beforeAll(async () => {
    test = await openTestStore('mysql');
    const url = test.schema.url();
    config = await writeConfig(`source: { url: "${url}_clinic" }\nstore: { url: "${url}" }\n`);
    await addWebhook(test.vault, { name: hostile, url: 'https://pagos.example/hook' });
    await addWebhook(test.vault, { name: `${hostile}2`, url: 'https://pagos.example/hook' });
    const me = claimant(test.store);
    const outbox = await openTestAppender(me, test.vault);
    const event = { ...eventOf('e1', { subject: short, key: short }), type: short };
    const body = JSON.stringify({ event: short, data: { note: hostile } });
    const { fresh } = await outbox.append([{ ...event, body }], { room: muchRoom });
    await settle(me, fresh.map(delivered));
    await test.store.run(`UPDATE event_log SET entity_table = ?`, [short]);
    await recordAct(test.store, test.vault.cipher, {
      actor: { name: hostile, role: 'local' },
      action: 'webhook.test',
      target: hostile,
      details: { [hostile]: hostile },
    });
    await createReplay(
      test.store,
      {
        webhookId: 1,
        sinceMs: 0,
        untilMs: Date.parse('2030-01-01'),
        exhaustedOnly: false,
        requestedBy: hostile,
        reason: hostile,
        ratePerSecond: null,
      },
      outbox.webhooks,
    );
  });
  afterAll(async () => {
    await test.close();
    await config.remove();
  });

  const requireHarmless = ({ stdout, stderr }: CliResult): void => {
    for (const text of [stdout, stderr]) {
      expect(obeyed.exec(text)).toBeNull();
      expect(text).not.toMatch(/^ERR_FORGED/m);
    }
  };

  it('knows every command', async () => {
    const { stdout } = await callCli('completion', 'bash');
    const [, offered = ''] = /case "\$place\/\$\{COMP_WORDS\[i\]\}" in\n(.*)\) place=/.exec(stdout)!;
    const places = offered
      .trim()
      .split(' | ')
      .map((quoted) => quoted.replaceAll("'", ''));
    expect(places.toSorted()).toEqual(Object.keys(calls).toSorted());
  });

  const all = Object.entries(calls).flatMap(([place, each]) => each.map((args) => ({ place, args })));

  it.each(all)('is harmless: $place $args', async ({ place, args }) => {
    const needsConfig = place === '/completion' ? [] : ['--config', config.file];
    requireHarmless(await callCli(...place.slice(1).split('/'), ...args, ...needsConfig));
  });

  it.each(Object.keys(calls))('is harmless where the command line itself is hostile: %s', async (place) => {
    const path = place.slice(1).split('/');
    for (const args of [[`--${short}`], ['--config', `/nowhere/${short}`], [short, short, short]]) {
      const result = await callCli(...path, ...args);
      requireHarmless(result);
      expect(result.code).not.toBe(0);
      expect(result.stderr + result.stdout).not.toBe('');
    }
  });

  it('is harmless in the log of a daemon that runs on a terminal', () => {
    const line = JSON.stringify({ level: 'warn', error: hostile, [hostile]: short, msg: short });
    requireHarmless({
      code: 0,
      stdout: prettyFactory({ singleLine: true })(escapeJsonTwice(line)),
      stderr: '',
    });
  });

  it('keeps our own styles, and takes no other for one', () => {
    const red = styled('red', `a\u001b[8m`);
    expect(forTerminal(`${red} \u001b[31mb \u001b[12;31mc`)).toMatch(
      /^(\u001b\[31m)?a\\u001b\[8m(\u001b\[39m)? \\u001b\[31mb \\u001b\[12;31mc$/,
    );
  });
});

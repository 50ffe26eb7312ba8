import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listRunningReplays } from '../../src/outbox/replay/replay.ts';
import { stepReplay } from '../../src/outbox/replay/replay-step.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { callCli } from '../support/call-cli.ts';
import { writeConfig } from '../support/daemon.ts';
import { flavours } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  addWebhook,
  claimant,
  delivered,
  eventOf,
  failed,
  muchRoom,
  openTestAppender,
  openTestStore,
  readQueue,
  type TestAppender,
  type TestStore,
} from '../outbox/support.ts';

/** Three events: delivered, given up, waiting for a retry that is an hour away. */
describe.each(flavours)('sending again from the command line on %s', (flavour) => {
  let test: TestStore;
  let outbox: TestAppender;
  let config: Awaited<ReturnType<typeof writeConfig>>;

  beforeAll(async () => {
    test = await openTestStore(flavour);
    const url = test.schema.url();
    config = await writeConfig(`source: { url: "${url}_clinic" }\nstore: { url: "${url}" }\n`);
    await addWebhook(test.vault, { name: 'Pagos' });
    const me = claimant(test.store);
    outbox = await openTestAppender(me, test.vault);
    const events = ['0', '1', '2'].map((key) => eventOf(`e${key}`, { key }));
    const { fresh } = await outbox.append(events, { room: muchRoom });
    await settle(me, [
      delivered(fresh[0]!),
      failed(fresh[1]!, { kind: 'exhausted' }),
      failed(fresh[2]!, { kind: 'retry', delayMs: 3_600_000 }),
    ]);
  });
  afterAll(async () => {
    await test.close();
    await config.remove();
  });

  const call = (...args: string[]) => callCli(...args, '--config', config.file);
  const replay = (...args: string[]) =>
    call('replay', '--webhook', 'Pagos', '--since', '2026-03-07', '--reason', 'their disk', ...args);
  const acts = async (): Promise<unknown[][]> => {
    const rows = await test.schema.query('SELECT action, target, role FROM audit_log ORDER BY id');
    return rows.map(({ action, target, role }) => [action, target, role]);
  };

  it('retries one delivery: what ended is opened, what waited is due, and each is on record', async () => {
    expect(await call('deliveries', 'retry', '3')).toMatchObject({
      code: 0,
      stdout: 'Delivery 3 was waiting for its retry and is due now.\n',
    });
    expect(JSON.parse((await call('deliveries', 'retry', '2', '--json')).stdout)).toEqual({
      id: 2,
      result: 'reopened',
    });
    expect(await readQueue(test.store)).toEqual(['2:pending', '3:pending']);
    expect(await call('deliveries', 'retry', '77')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('ERR_NOT_FOUND'),
    });
    expect(await call('deliveries', 'retry', 'all')).toMatchObject({ code: 2 });
    expect(await acts()).toEqual([
      ['delivery.retry', '3', 'local'],
      ['delivery.retry', '2', 'local'],
    ]);
  });

  it.each([
    [
      'an event that there is not',
      ['--event', 'appointment.confimed'],
      'did you mean "appointment.confirmed"',
    ],
    ['a range that ends before it begins', ['--until', '2026-03-01'], '--since must lie before --until'],
    ['an entity that is none', ['--entity', 'patients'], 'table:key'],
    ['a rate that is none', ['--rate', 'fast'], '50/s'],
    ['to begin without a terminal', [], '--yes'],
  ])('refuses %s, and begins nothing', async (_what, args, message) => {
    expect(await replay(...args)).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
    expect(await call('replay', 'list')).toMatchObject({ stdout: 'There is no replay.\n' });
  });

  it('counts first, and says so where there is nothing to send', async () => {
    expect(await replay('--until', '2026-03-07T01:00:00Z')).toMatchObject({
      code: 0,
      stdout: 'There is nothing to send again.\n',
    });
    const { stderr } = await replay();
    expect(stderr.split('\n')[1]).toMatch(/^appointment\.confirmed +3/);
  });

  it('begins one, looks on until it is done, and shows it afterwards', async () => {
    const asked = replay('--yes', '--json');
    const id = await waitFor(async () => (await listRunningReplays(test.store))[0]);
    // What the daemon does.
    while ((await stepReplay(test.vault, id, { webhooks: outbox.webhooks })).waitMs !== null);
    const { code, stdout } = await asked;
    expect(code).toBe(0);
    // The two that are in the queue already are under way.
    expect(JSON.parse(stdout)).toMatchObject({ id, state: 'done', total: 3, queued: 1, webhook_id: 1 });
    const list = (await call('replay', 'list')).stdout.split('\n');
    expect(list[1]!.trim().split(/ {2,}/).slice(2, 6)).toEqual(['Pagos', 'done', '1', '3']);
    expect(list[1]).toContain('their disk');
  });

  it('leaves one to the daemon, which a person may end, once', async () => {
    const begun = JSON.parse((await replay('--yes', '--detach', '--rate', '1', '--json')).stdout) as {
      id: number;
    };
    expect(begun).toMatchObject({ state: 'running', rate_per_second: 1 });
    const id = String(begun.id);
    expect((await call('replay', 'cancel', id)).stdout).toBe(`Replay ${id} was cancelled.\n`);
    expect(JSON.parse((await call('replay', 'cancel', id, '--json')).stdout)).toEqual({
      id: begun.id,
      cancelled: false,
    });
    expect(JSON.parse((await call('replay', 'list', '--limit', '1', '--json')).stdout)).toMatchObject({
      replays: [{ id: begun.id, state: 'cancelled', requested_by: expect.any(String) }],
    });
    expect(await call('replay', 'cancel', '99')).toMatchObject({ code: 1 });
    expect((await acts()).slice(-2)).toEqual([
      ['replay.create', '1', 'local'],
      ['replay.cancel', id, 'local'],
    ]);
  });
});

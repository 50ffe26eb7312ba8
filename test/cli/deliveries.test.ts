import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatCsv } from '../../src/cli/terminal/csv.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { flavours } from '../support/server.ts';
import { callCli } from '../support/call-cli.ts';
import { writeConfig } from '../support/daemon.ts';
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

describe('csv', () => {
  it('cannot be taken for a formula, and opens as UTF-8', () => {
    const texts = [
      '=1+1',
      '+1',
      '-1',
      '@x',
      '\t=1',
      '\r=1',
      ' =1',
      'a,b',
      'say "hi"',
      'ñ',
      'plain',
      -5,
      null,
    ];
    expect(
      formatCsv(
        ['text'],
        texts.map((text) => [text]),
      ),
    ).toBe(
      '\uFEFFtext\r\n' +
        `"'=1+1"\r\n"'+1"\r\n"'-1"\r\n"'@x"\r\n"'\t=1"\r\n"'\r=1"\r\n"' =1"\r\n"a,b"\r\n"say ""hi"""\r\nñ\r\nplain\r\n-5\r\n\r\n`,
    );
  });
});

describe.each(flavours)('deliveries, access and erase on %s', (flavour) => {
  let test: TestStore;
  let config: Awaited<ReturnType<typeof writeConfig>>;

  beforeAll(async () => {
    test = await openTestStore(flavour);
    const url = test.schema.url();
    config = await writeConfig(`source: { url: "${url}_clinic" }\nstore: { url: "${url}" }\n`);
    await addWebhook(test.vault, { name: '=HYPERLINK("x")', url: 'https://pagos.example/hook' });
    const me = claimant(test.store);
    const outbox = await openTestAppender(me, test.vault);
    const events = ['45', '46'].map((subject, n) => eventOf(`e${n}`, { subject, key: String(n) }));
    const { fresh } = await outbox.append(events, { room: muchRoom });
    await settle(me, fresh.map(delivered));
  });
  afterAll(async () => {
    await test.close();
    await config.remove();
  });

  const call = (...args: string[]) => callCli(...args, '--config', config.file);

  it('lists, shows, exports, tells who received what, and erases', async () => {
    const list = await call('deliveries', 'list', '--status', 'delivered');
    expect(list.stdout.match(/appointments:\d/g)).toEqual(['appointments:1', 'appointments:0']);
    const first = await call('deliveries', 'list', '--limit', '1');
    expect(first.stderr).toBe('There are more: --cursor 2\n');
    const page = await call('deliveries', 'list', '--limit', '1', '--cursor', '2', '--json');
    expect(JSON.parse(page.stdout)).toMatchObject({ deliveries: [{ id: 1 }], next_cursor: null });
    expect(JSON.parse((await call('deliveries', 'show', '1', '--json')).stdout)).toMatchObject({
      id: 1,
      payload: eventOf('e0', { key: '0' }).body,
      occurred_at: '2026-03-07T15:30:00.123Z',
      attempts: [{ number: 1, outcome: 'delivered' }],
    });
    const csv = (await call('deliveries', 'export', '--patient', '46')).stdout.split('\r\n');
    expect(csv[0]).toMatch(/^\uFEFFid,event,event_id,/);
    expect(csv[1]).toContain(`,46,1,"'=HYPERLINK(""x"")",,delivered,200,0,2026-03-07T15:30:00.123Z,`);
    expect(csv).toHaveLength(3);

    const access = await call('access', '--patient', '45', '--json');
    expect(JSON.parse(access.stdout)).toMatchObject({
      deliveries: [{ id: 1, fields: ['appointment_id', 'note'], webhook_url: null }],
    });
    const period = async (...times: string[]) => (await call('access', '--patient', '45', ...times)).stdout;
    expect(await period('--until', '2026-01-01')).toBe(
      'Before 2026-01-01 00:00:00 UTC nothing about this patient was sent to any receiver.\n',
    );
    expect(await period('--since', '2027-01-01')).toBe(
      'From 2027-01-01 00:00:00 UTC on nothing about this patient was sent to any receiver.\n',
    );
    expect(await period('--since', '2025-01-01', '--until', '2026-01-01')).toBe(
      'From 2025-01-01 00:00:00 UTC to 2026-01-01 00:00:00 UTC nothing about this patient was sent to any receiver.\n',
    );
    // There is no terminal to ask on.
    expect(await call('erase', '--patient', '45', '--reason', 'asked')).toMatchObject({
      code: 2,
      stdout: '',
    });
    const erased = await call('erase', '--patient', '45', '--reason', 'asked', '--yes');
    expect(erased).toMatchObject({ code: 0, stderr: '' });
    expect((await call('deliveries', 'show', '1')).stdout).toContain('The payload was pruned or erased.');

    const acts = JSON.parse((await call('audit', 'log', '--json')).stdout) as {
      acts: { action: string; role: string }[];
    };
    const byPeople = acts.acts.filter(({ role }) => role !== 'engine');
    expect(byPeople.map(({ action, role }) => [action, role])).toEqual(
      [
        ...['delivery.read', 'patient.erase', 'patient.access', 'patient.access', 'patient.access'],
        ...['patient.access', 'delivery.export', 'patient.access'],
        ...['delivery.read', 'delivery.list', 'delivery.list'],
      ].map((action) => [action, 'local']),
    );
  });
});

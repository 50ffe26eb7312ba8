import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { recordAct } from '../../src/audit/act/record-act.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { widthOf } from '../../src/cli/terminal/terminal.ts';
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
import { callCli } from '../support/call-cli.ts';
import { runCli, writeConfig } from '../support/daemon.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { loadClinic } from '../../src/demo/clinic.ts';

const longUrl = `https://pagos.example/${'hook/'.repeat(40)}`;

describe.each(flavours)('what commands print on 80 columns, on %s', (flavour) => {
  let test: TestStore;
  let clinic: TestSchema;
  let config: Awaited<ReturnType<typeof writeConfig>>;

  beforeAll(async () => {
    test = await openTestStore(flavour);
    const url = test.schema.url();
    clinic = await createSchema(sharedServer(flavour));
    await loadClinic(await clinic.connect());
    config = await writeConfig(`source: { url: "${clinic.url()}" }\nstore: { url: "${url}" }\n`);
    await addWebhook(test.vault, {
      name: `Pagos de la clínica ${'muy '.repeat(15)}larga`,
      url: longUrl,
      events: ['appointment.confirmed', 'payment.*', 'patient.*', 'budget.*', 'consent.*', 'inventory.*'],
    });
    const me = claimant(test.store);
    const outbox = await openTestAppender(me, test.vault);
    const events = ['45', '46'].map((subject, n) => eventOf(`e${n}`, { subject, key: `${n}`.repeat(50) }));
    const { fresh } = await outbox.append(events, { room: muchRoom });
    await settle(me, fresh.map(delivered));
    await recordAct(test.store, clearCipher, {
      actor: { name: 'ana', role: 'admin' },
      action: 'webhook.update',
      target: '1',
      details: { url: longUrl, reason: 'because it moved '.repeat(20) },
    });
  });
  afterAll(async () => {
    await test.close();
    await clinic.drop();
    await config.remove();
  });

  it.each<readonly string[]>([
    ['status'],
    ['check'],
    ['webhooks', 'list'],
    ['deliveries', 'list'],
    ['deliveries', 'show', '1'],
    ['access', '--patient', '45'],
    ['audit', 'log'],
    ['audit', 'verify'],
    ['audit', 'head'],
    ['replay', 'list'],
    ['events', 'list'],
    ['events', 'test', '--webhook', '1', '--since', '1h'],
  ])('%s', async (...args) => {
    const { stdout, stderr } = await runCli([...args, '--config', config.file], { COLUMNS: '80' });
    expect(stdout, stderr).not.toBe('');
    const tooWide = [stdout, stderr]
      .flatMap((text) => text.split('\n'))
      // A statement stays on its line, to be copied, and so do a payload and a line for the configuration.
      .filter(
        (line) =>
          widthOf(line) > 80 &&
          !/^(GRANT|SET|CREATE|ALTER) |^\{|^audit: \{ key: "[0-9a-f:]{79}" \}$/.test(line),
      );
    expect(tooWide).toEqual([]);
  });

  it('wraps the help of every command', async () => {
    vi.stubEnv('COLUMNS', '80');
    const commands = [
      'run',
      'check',
      'migrate',
      'status',
      'resume',
      'webhooks',
      'events',
      'deliveries',
      'replay',
    ];
    const more = ['access', 'erase', 'prune', 'audit', 'receive', 'demo', 'completion', ...subcommands];
    for (const command of [...commands, ...more]) {
      const { stdout } = await callCli(...command.split(' '), '--help');
      expect(stdout).toContain('Usage:');
      const tooWide = stdout.split('\n').filter((line) => widthOf(line) > 80 && !line.startsWith('  $ '));
      expect(tooWide).toEqual([]);
    }
    vi.unstubAllEnvs();
  });
});

const subcommands = [
  'webhooks create',
  'webhooks update',
  'webhooks test',
  'events list',
  'events test',
  'deliveries list',
  'deliveries export',
  'replay start',
  'audit verify',
  'audit log',
];

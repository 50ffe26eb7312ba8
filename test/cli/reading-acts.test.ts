import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listActs } from '../../src/audit/act/acts.ts';
import { flavours } from '../support/server.ts';
import { callCli } from '../support/call-cli.ts';
import { writeConfig } from '../support/daemon.ts';
import {
  addWebhook,
  claimant,
  eventOf,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestStore,
} from '../outbox/support.ts';

interface Reading {
  args: readonly string[];
  /** Action and target of what must be on record. */
  act: [action: string, target: string | null];
}

/**
 * Every command: what of a patient it reveals, and which act puts that on record. A command that is not here fails the test. The same of the
 * API is in test/http/reading-acts.
 */
const entries: Record<string, 'no patient' | 'another test' | readonly Reading[]> = {
  run: 'no patient',
  check: 'no patient',
  migrate: 'no patient',
  status: 'no patient',
  resume: 'no patient',
  'webhooks list': 'no patient',
  'webhooks create': 'no patient',
  'webhooks update': 'no patient',
  'webhooks delete': 'no patient',
  'webhooks pause': 'no patient',
  'webhooks resume': 'no patient',
  'webhooks enable': 'no patient',
  'webhooks disable': 'no patient',
  'webhooks rotate-secret': 'no patient',
  'webhooks test': 'no patient',
  'events list': 'no patient',
  // With --show-data: test/cli/events-dry-run.
  'events test': 'another test',
  'deliveries list': [
    { args: [], act: ['delivery.list', null] },
    { args: ['--json', '--status', 'pending'], act: ['delivery.list', null] },
    { args: ['--patient', '45'], act: ['patient.access', '45'] },
    { args: ['--entity', 'appointments:7'], act: ['patient.access', '46'] },
  ],
  'deliveries show': [{ args: ['1'], act: ['delivery.read', '1'] }],
  'deliveries export': [
    { args: ['--format', 'csv', '--status', 'delivered'], act: ['delivery.export', null] },
    { args: ['--patient', '45'], act: ['patient.access', '45'] },
  ],
  'deliveries retry': 'no patient',
  'replay list': 'no patient',
  'replay cancel': 'no patient',
  'replay start': 'no patient',
  access: [{ args: ['--patient', '46'], act: ['patient.access', '46'] }],
  erase: [{ args: ['--patient', '45', '--reason', 'asked', '--yes'], act: ['patient.erase', '45'] }],
  prune: 'no patient',
  // Acts name patients by number, as the audit log must; nothing of what was sent.
  'audit log': 'no patient',
  'audit verify': 'no patient',
  'audit head': 'no patient',
  'audit begin-anew': 'no patient',
  receive: 'no patient',
  demo: 'no patient',
  completion: 'no patient',
};

/** Commands without commands of their own, as the help lists them. */
async function listCommands(path: readonly string[] = []): Promise<string[]> {
  const { stdout } = await callCli(...path, '--help');
  const [, section] = /^Commands:\n((?: {2}.*\n)*)/m.exec(stdout) ?? [];
  if (section === undefined) return [path.join(' ')];
  const names = [...section.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name]) => name!);
  const found: string[] = [];
  for (const name of names) if (name !== 'help') found.push(...(await listCommands([...path, name])));
  return found;
}

describe.each(flavours)('what readers at the command line leave on record, on %s', (flavour) => {
  let test: TestStore;
  let config: Awaited<ReturnType<typeof writeConfig>>;

  beforeAll(async () => {
    test = await openTestStore(flavour);
    const url = test.schema.url();
    config = await writeConfig(`source: { url: "${url}_clinic" }\nstore: { url: "${url}" }\n`);
    await addWebhook(test.vault, { name: 'Pagos', url: 'https://pagos.example/hook' });
    const outbox = await openTestAppender(claimant(test.store), test.vault);
    await outbox.append(
      [eventOf('e1', { subject: '45', key: '1' }), eventOf('e2', { subject: '46', key: '7' })],
      { room: muchRoom },
    );
  });
  afterAll(async () => {
    await test.close();
    await config.remove();
  });

  it('knows every command', async () => {
    expect((await listCommands()).toSorted()).toEqual(Object.keys(entries).toSorted());
  });

  const readings = Object.entries(entries).flatMap(([command, kind]) =>
    typeof kind === 'string'
      ? []
      : kind.map(({ args, act }) => ({ line: [...command.split(' '), ...args], act })),
  );

  it.each(readings)('puts $line on record', async ({ line, act }) => {
    const before = (await listActs(test.store, {}, { limit: 1 })).items[0]?.id ?? 0;
    const { code, stderr } = await callCli(...line, '--config', config.file);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const { items } = await listActs(test.store, {}, { limit: 10 });
    const since = items.filter(({ id }) => id > before);
    expect(since.map(({ role, action, target }) => [role, action, target])).toContainEqual(['local', ...act]);
  });
});

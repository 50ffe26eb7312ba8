import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordAct } from '../../src/audit/act/record-act.ts';
import { flavours } from '../support/server.ts';
import { callCli } from '../support/call-cli.ts';
import { writeConfig } from '../support/daemon.ts';
import { addWebhook, openTestStore, type TestStore } from '../outbox/support.ts';

describe.each(flavours)('audit on %s', (flavour) => {
  let test: TestStore;
  let config: Awaited<ReturnType<typeof writeConfig>>;

  beforeAll(async () => {
    test = await openTestStore(flavour);
    config = await writeConfig(
      `source: { url: "${test.schema.url()}_clinic" }\nstore: { url: "${test.schema.url()}" }\n`,
    );
    const details = { url: 'https://pagos.example/hook' };
    await recordAct(test.store, test.vault.cipher, {
      actor: { name: 'ana', role: 'admin' },
      action: 'webhook.create',
      target: '1',
      details,
    });
    await recordAct(test.store, test.vault.cipher, {
      actor: { name: 'luis', role: 'operator' },
      action: 'delivery.retry',
      target: '7',
    });
  });
  afterAll(async () => {
    await test.close();
    await config.remove();
  });

  const audit = (...args: string[]) => callCli('audit', ...args, '--config', config.file);

  it('lists who did what, for people and as JSON', async () => {
    const { stdout } = await audit('log');
    expect(
      stdout
        .split('\n')
        .slice(1)
        .map((line) => line.split(/ {2,}/).slice(2, 6)),
    ).toEqual([['luis', 'operator', 'delivery.retry', '7'], ['ana', 'admin', 'webhook.create', '1'], []]);
    const json = await audit('log', '--action', 'webhook.*', '--since', '1h', '--json');
    expect(JSON.parse(json.stdout)).toMatchObject({
      acts: [
        {
          actor: 'ana',
          action: 'webhook.create',
          at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
          details: { url: 'https://pagos.example/hook' },
        },
      ],
      next_cursor: null,
    });
    const page = await audit('log', '--limit', '1');
    expect(page.stderr).toBe('There are more: --cursor 2\n');
    expect((await audit('log', '--cursor', '2')).stdout).toContain('webhook.create');
    expect(await audit('log', '--since', 'lunes')).toMatchObject({ code: 2 });
  });

  it('exports the head and verifies against it, until something is changed', async () => {
    await addWebhook(test.vault, { events: ['audit.sealed'] });
    const file = join(config.folder, 'head.json');
    const exported = await audit('head', '--out', file);
    expect(exported).toMatchObject({ code: 0, stderr: '' });
    const head = JSON.parse(await readFile(file, 'utf8')) as Record<string, string>;
    const spki = Buffer.from(head['public_key']!, 'base64');
    const fingerprint = createHash('sha256').update(spki).digest('hex');
    expect(head['fingerprint']!.replaceAll(':', '')).toBe(fingerprint);
    expect(exported.stdout).toContain(`Key ${head['fingerprint']}`);
    expect(await audit('head', '--out', file)).toMatchObject({ code: 2 });

    const verified = await audit('verify', '--head', file);
    expect(verified).toMatchObject({ code: 0, stderr: '' });
    expect(verified.stdout).toContain('untouched: 4 entries in 1 seals (1 to 1) are as they were sealed.');
    const always = 'that SQL added no event in the seconds before its seal.\n';
    expect(verified.stdout.startsWith(`Not proved: ${always}`)).toBe(true);

    const pinned = join(config.folder, 'seal-key');
    await writeFile(pinned, head['public_key']!);
    const bare = await audit('verify');
    const end = 'that nothing was cut off at the end (--head FILE)';
    const key = 'that the key is the old one (--key FILE)';
    expect(bare.stdout.startsWith(`Not proved: ${end}; ${key}; ${always}`)).toBe(true);
    const keyed = await audit('verify', '--key', pinned);
    expect(keyed.stdout.startsWith(`Not proved: ${end}; ${always}untouched`)).toBe(true);
    await writeFile(pinned, Array.from({ length: 16 }, () => '0123').join(':'));
    const other = await audit('verify', '--key', pinned);
    expect(other).toMatchObject({ code: 1 });
    expect(other.stdout).toContain('rewritten: the log is signed by the key');
    await writeFile(pinned, 'no key');
    expect(await audit('verify', '--key', pinned)).toMatchObject({ code: 2 });

    // Pinned in the configuration, by the line that `audit head` prints.
    const written = await readFile(config.file, 'utf8');
    const line = exported.stdout.split('\n').find((each) => each.startsWith('audit: '))!;
    await writeFile(config.file, `${written}\n${line}\n`);
    expect((await audit('verify')).stdout.startsWith(`Not proved: ${end}; ${always}untouched`)).toBe(true);
    expect((await audit('head')).stdout).not.toContain('audit: ');
    await writeFile(config.file, `${written}\n${line.replace(/"..../, '"0000')}\n`);
    expect((await audit('verify')).stdout).toContain('rewritten: the log is signed by the key');
    const refused = await audit('log');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('ERR_AUDIT');
    await writeFile(config.file, `${written}\naudit: { key: "0123" }\n`);
    expect((await audit('log')).stderr).toContain('audit.key: must be the fingerprint of the sealed log');
    await writeFile(config.file, written);

    await writeFile(join(config.folder, 'edited.json'), JSON.stringify({ ...head, entries: 3 }));
    expect(await audit('verify', '--head', join(config.folder, 'edited.json'))).toMatchObject({ code: 2 });

    // Subscribers of `audit.sealed` get this head too, once.
    const told = (): Promise<Record<string, unknown>[]> =>
      test.schema.query(
        `SELECT e.type, q.state FROM event_log e JOIN delivery_log d ON d.event_seq = e.seq JOIN queue q ON q.delivery_id = d.id`,
      );
    expect(await told()).toEqual([{ type: 'audit.sealed', state: 'pending' }]);
    expect(await audit('head')).toMatchObject({ code: 0, stderr: '' });
    expect(await told()).toHaveLength(1);

    await test.schema.query("UPDATE audit_log SET actor = 'ana' WHERE actor = 'luis'");
    const found = await audit('verify');
    expect(found.code).toBe(1);
    expect(found.stdout).toMatch(/\nedited: act 2 was edited: actor \(sealed .* in seal 1\)\n/);
    expect(JSON.parse((await audit('verify', '--json')).stdout)).toMatchObject({
      ok: false,
      flaw: { kind: 'edited', seal: 1, log: 'audit_log', entry_id: 2 },
    });
  });
});

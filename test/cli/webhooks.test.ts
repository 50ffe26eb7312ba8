import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createCipher } from '../../src/crypto/cipher.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { openStore, type Store } from '../../src/db/connection/client.ts';
import { loadWebhooks } from '../../src/outbox/webhook/webhook-registry.ts';
import { callCli } from '../support/call-cli.ts';
import { writeConfig, type CliResult } from '../support/daemon.ts';
import { startTestReceiver, type TestReceiver } from '../support/receiver.ts';
import { createSchema, sharedServer, type TestSchema } from '../support/server.ts';

const key = 'ab'.repeat(32);

describe('webhooks', () => {
  let schema: TestSchema;
  let store: Store;
  let receiver: TestReceiver;
  let config: Awaited<ReturnType<typeof writeConfig>>;

  beforeAll(async () => {
    schema = await createSchema(sharedServer('mysql'));
    store = openStore(parseDatabaseUrl(schema.url()));
    receiver = await startTestReceiver();
    config = await writeConfig(`
source: { url: "mysql://stranger@127.0.0.1:1/ontology_db" }
store: { url: "${schema.url()}", encryption_key: "${key}" }
${receiver.delivery}
`);
  });
  afterAll(async () => {
    await store.close();
    await config.remove();
    await receiver.stop();
    await schema.drop();
  });

  const cli = (...args: string[]): Promise<CliResult> => callCli(...args, '--config', config.file);
  const made = async (...args: string[]): Promise<{ id: number; secret: string }> => {
    const events = args.includes('--event') ? [] : ['--event', '*'];
    const { stdout, stderr, code } = await cli('webhooks', 'create', ...args, ...events, '--json');
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
    return JSON.parse(stdout) as { id: number; secret: string };
  };
  const acts = () =>
    schema.query("SELECT action, target, role FROM audit_log WHERE action LIKE 'webhook.%' ORDER BY id");

  it('makes, shows, changes, stops, starts and ends one, without the source, each on record', async () => {
    const { id, secret } = await made(
      '--name',
      'Pagos',
      '--url',
      receiver.url,
      '--event',
      'payment.*',
      'budget.created',
    );
    expect(secret).toMatch(/^whsec_[0-9a-f]{64}$/);
    const [row] = await schema.query('SELECT * FROM webhooks WHERE id = ?', [id]);
    expect(row).toMatchObject({ name: 'Pagos', is_active: 1, max_in_flight: 8, managed_by: 'database' });
    expect(row!['secret']).toMatch(/^enc:v1:/);

    await cli(
      'webhooks',
      'update',
      'Pagos',
      '--header',
      'X-Clinic: central',
      '--rate-limit',
      '50/s',
      '--field',
      'amount',
    );
    const { stdout } = await cli('webhooks', 'list', '--json');
    expect(stdout).not.toContain('whsec_');
    expect(stdout).not.toContain('enc:v1:');
    expect(JSON.parse(stdout)).toMatchObject({
      webhooks: [
        {
          id,
          events: ['payment.*', 'budget.created'],
          headers: { 'X-Clinic': '***' },
          rate_limit: '50/s',
          fields: ['amount'],
        },
      ],
    });
    const states: unknown[] = [];
    for (const verb of ['disable', 'enable', 'delete']) {
      expect(await cli('webhooks', verb, 'Pagos', ...(verb === 'delete' ? ['--yes'] : []))).toMatchObject({
        code: 0,
      });
      const [now] = await schema.query(
        'SELECT is_active AS active, deleted_at IS NOT NULL AS deleted, secret FROM webhooks',
      );
      states.push(now);
    }
    expect(states).toEqual([
      { active: 0, deleted: 0, secret: row!['secret'] },
      { active: 1, deleted: 0, secret: row!['secret'] },
      { active: 0, deleted: 1, secret: '' },
    ]);
    expect(await acts()).toEqual(
      ['create', 'update', 'disable', 'enable', 'delete'].map((verb) => ({
        action: `webhook.${verb}`,
        target: String(id),
        role: 'local',
      })),
    );
  });

  it.each([
    [
      'an event that there is not',
      ['--event', 'payment.recieved'],
      /no event "payment.recieved".*payment.received/,
    ],
    ['a name of digits alone', ['--name', '77'], /name: is digits alone/],
    ['an internal address', ['--url', 'https://169.254.169.254/'], /metadata/],
    ['a port that is not open', ['--url', 'https://93.184.215.14:22/'], /allowed_ports/],
    ['a header that changes the request', ['--header', 'Content-Length: 5'], /Content-Length/i],
    ['a header with a line end', ['--header', 'X-A: b\r\nX-C: d'], /printable/],
    ['a rate that is none', ['--rate-limit', 'fast'], /rate_limit: must be a rate/],
    ['a filter that is none', ['--filter', '[1]'], /filter/],
  ])('refuses %s, with code 2 and nothing done', async (_what, options, message) => {
    const before = await schema.query('SELECT COUNT(*) AS n FROM webhooks');
    const base = ['--name', 'X', ...(options[0] === '--url' ? [] : ['--url', receiver.url])];
    const { code, stderr } = await cli('webhooks', 'create', ...base, '--event', '*', ...options);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(await schema.query('SELECT COUNT(*) AS n FROM webhooks')).toEqual(before);
  });

  it('asks before it deletes or rotates, and does neither without a terminal', async () => {
    const { id } = await made('--name', 'Asked', '--url', receiver.url);
    for (const verb of ['delete', 'rotate-secret']) {
      expect(await cli('webhooks', verb, String(id))).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('--yes'),
      });
    }
    expect(
      await schema.query('SELECT 1 FROM webhooks WHERE id = ? AND deleted_at IS NULL', [id]),
    ).toHaveLength(1);
    expect(await cli('webhooks', 'disable', 'unknown')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('ERR_NOT_FOUND'),
    });
  });

  it("takes a secret of one's own from a file or the environment, checks its form, and shows it nowhere", async () => {
    const own = `whsec_${'c0ffee12'.repeat(8)}`;
    await writeFile(join(config.folder, 'secret'), `${own}\n`);
    const next = `whsec_${'decade99'.repeat(8)}`;
    vi.stubEnv('OWN_SECRET', next);
    vi.stubEnv('SHORT_SECRET', 'whsec_c2hvcnQ=');
    const base = ['webhooks', 'create', '--name', 'Own', '--url', receiver.url, '--event', '*'];
    const fromFile = await cli(...base, '--secret-file', join(config.folder, 'secret'));
    expect(fromFile.stdout).toMatch(/^Webhook \d+ was made, with the secret that you gave\.\n$/);
    const asked = await cli(
      'webhooks',
      'rotate-secret',
      'Own',
      '--secret-env',
      'OWN_SECRET',
      '--overlap',
      '1h',
      '--yes',
      '--json',
    );
    expect(JSON.parse(asked.stdout)).toEqual({ id: expect.any(Number), overlap: '1h' });
    const cipher = createCipher([{ id: await keyId(), bytes: Buffer.from(key, 'hex') }]);
    const { webhooks } = await loadWebhooks({ store, cipher });
    expect(webhooks.find(({ name }) => name === 'Own')!.secrets).toEqual([next, own]);
    for (const [args, message] of [
      [['--secret-env', 'SHORT_SECRET'], /at least 24/],
      [['--secret-env', 'NO_SECRET'], /no variable NO_SECRET/],
      [['--secret-file', join(config.folder, 'nothing')], /cannot be read/],
      [['--secret-file', 'x', '--secret-env', 'y'], /one secret is enough/],
      [['--secret', own], /unknown option '--secret'/],
    ] as const) {
      const { code, stderr } = await cli(...base, ...args);
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(message) });
      expect(stderr).not.toContain('c2hvcnQ');
    }
    vi.unstubAllEnvs();
  });

  it('refuses to edit what the file manages', async () => {
    const { id } = await made('--name', 'Of the file', '--url', receiver.url);
    await schema.query("UPDATE webhooks SET managed_by = 'file' WHERE id = ?", [id]);
    for (const args of [
      ['update', '--name', 'Y'],
      ['delete', '--yes'],
      ['disable'],
      ['rotate-secret', '--yes'],
    ]) {
      const [verb, ...rest] = args as [string, ...string[]];
      expect(await cli('webhooks', verb, String(id), ...rest)).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('ERR_CONFLICT'),
      });
    }
  });

  it('sends a signed event to try it, by the guarded way, and says what became of it', async () => {
    const { id, secret } = await made(
      '--name',
      'Tried',
      '--url',
      receiver.url,
      '--header',
      'X-Clinic: central',
    );
    const ok = await cli('webhooks', 'test', 'Tried');
    expect(ok).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Delivered: 204/) });
    const [received] = receiver.received;
    expect(received).toMatchObject({ event: 'webhook.test', data: { webhook_id: id } });
    expect(received!.headers['x-clinic']).toBe('central');
    const { Webhook } = await import('standardwebhooks');
    expect(() =>
      new Webhook(secret).verify(received!.body, received!.headers as Record<string, string>),
    ).not.toThrow();

    receiver.answer = () => 500;
    expect(await cli('webhooks', 'test', 'Tried')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^Refused: 500/),
    });
    await schema.query("UPDATE webhooks SET url = 'http://127.0.0.2:22/' WHERE id = ?", [id]);
    expect(await cli('webhooks', 'test', 'Tried')).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^Not sent/),
    });
    expect(await schema.query('SELECT COUNT(*) AS n FROM delivery_log')).toEqual([{ n: 0 }]);
  });

  it('rotates with an overlap in which both secrets sign, and only the new one afterwards', async () => {
    const { id, secret } = await made('--name', 'Rotated', '--url', receiver.url);
    const { stdout } = await cli('webhooks', 'rotate-secret', 'Rotated', '--yes', '--json');
    const rotated = JSON.parse(stdout) as { secret: string; overlap: string };
    expect(rotated.overlap).toBe('1d');
    const cipher = createCipher([{ id: await keyId(), bytes: Buffer.from(key, 'hex') }]);
    const secrets = async () =>
      (await loadWebhooks({ store, cipher })).webhooks.find((webhook) => webhook.id === id)!.secrets;
    expect(await secrets()).toEqual([rotated.secret, secret]);
    await schema.query('UPDATE webhooks SET previous_secret_expires_at = UTC_TIMESTAMP(3) WHERE id = ?', [
      id,
    ]);
    expect(await secrets()).toEqual([rotated.secret]);
  });

  const keyId = async (): Promise<string> =>
    (
      (await schema.query("SELECT secret FROM webhooks WHERE secret LIKE 'enc:%'"))[0]!['secret'] as string
    ).split(':')[2]!;
});

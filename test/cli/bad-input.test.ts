import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { callCli } from '../support/call-cli.ts';
import { runCli, writeConfig, type CliResult } from '../support/daemon.ts';
import { createSchema, sharedServer, type TestSchema } from '../support/server.ts';

const secret = `whsec_${'ab'.repeat(32)}`;

describe('bad input gets one clear message with its remedy', () => {
  let clinic: TestSchema;
  const store = `store_${randomBytes(5).toString('hex')}`;
  beforeAll(async () => {
    clinic = await createSchema(sharedServer('mysql'));
    await loadClinic(await clinic.connect());
  });
  afterAll(async () => {
    await clinic.query(`DROP DATABASE IF EXISTS ${store}`);
    await clinic.drop();
  });

  async function run(yaml: string): Promise<CliResult> {
    const config = await writeConfig(yaml);
    try {
      return await runCli(['run', '--config', config.file]);
    } finally {
      await config.remove();
    }
  }

  const storeLine = (): string => `store: { url: "${sharedServer('mysql').url}/${store}" }\n`;
  const withWebhook = (webhook: string, extra = ''): string =>
    `source: { url: "${clinic.url()}" }\n${storeLine()}http: { listen: "127.0.0.1:0" }\nwebhooks:\n  - ${webhook}\n${extra}`;

  const cases: [string, () => string, number, RegExp][] = [
    [
      'a wrong password',
      () => `source: { url: "${clinic.url({ user: 'root', password: 'mal' })}" }\n${storeLine()}`,
      1,
      /refuses the user root/,
    ],
    [
      'an unknown schema',
      () => `source: { url: "${clinic.url().replace(clinic.name, 'no_such_schema')}" }\n${storeLine()}`,
      1,
      /no_such_schema/,
    ],
    ['an unknown key', () => 'sorce: {}\n', 2, /:1:1 sorce: .*did you mean "source"/],
    [
      'an undefined variable',
      () => 'source: { url: "${env:NOT_DEFINED_HERE}" }\n',
      2,
      /NOT_DEFINED_HERE is not defined/,
    ],
    [
      'a bad duration',
      () => `source: { url: "${clinic.url()}", heartbeat: soon }\n`,
      2,
      /source\.heartbeat: must be a duration/,
    ],
    [
      'an empty events list',
      () => withWebhook(`{ name: a, url: "https://example.com/x", events: [], secret: ${secret} }`),
      2,
      /webhooks\[0\]\.events/,
    ],
    [
      'an unknown event',
      () =>
        withWebhook(
          `{ name: a, url: "https://example.com/x", events: [payment.recieved], secret: ${secret} }`,
        ),
      2,
      /:5:\d+ .*payment\.recieved.*did you mean "payment\.received"/,
    ],
    [
      'an http URL',
      () => withWebhook(`{ name: a, url: "http://example.com/x", events: ["*"], secret: ${secret} }`),
      2,
      /https/,
    ],
  ];

  it.each(cases)('%s', async (_name, yaml, code, message) => {
    const result = await run(yaml());
    expect(result.stderr).toMatch(message);
    expect(result.stderr).toContain('Remedy:');
    expect(result.stderr).not.toMatch(/^\s+at /m);
    expect(result.code).toBe(code);
  });

  it('a port in use', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const result = await run(
      `source: { url: "${clinic.url()}" }\n${storeLine()}http: { listen: "127.0.0.1:${port}" }\n`,
    );
    other.close();
    expect(result.stderr).toContain('ERR_PORT_IN_USE');
    expect(result.stderr).toContain(String(port));
    expect(result.code).toBe(1);
  });

  it('a mistyped command, and no configuration at all', async () => {
    expect(await runCli(['rnu'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Did you mean run?') as string,
    });
    const missing = await runCli(['run', '--config', '/nowhere/at-all.yaml']);
    expect(missing).toMatchObject({ code: 2, stderr: expect.stringContaining('there is no file') as string });
  });

  it('a period that ends before it begins, in each command that takes both', async () => {
    const commands = [
      ['deliveries', 'list'],
      ['deliveries', 'export', '--format', 'csv'],
      ['access', '--patient', '45'],
      ['audit', 'log'],
      ['replay', 'start', '--webhook', '1', '--reason', 'r'],
      ['events', 'test', '--webhook', '1'],
    ];
    const refused = {
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('--since must lie before --until'),
    };
    for (const command of commands) {
      for (const until of ['2026-01-01', '2026-02-01']) {
        expect(await callCli(...command, '--since', '2026-02-01', '--until', until)).toMatchObject(refused);
      }
    }
  });

  it('the help of all commands, asked for before one', async () => {
    for (const args of [['--help'], ['--help', 'run'], ['help']]) {
      const { code, stdout } = await runCli(args);
      expect({ args, code, all: /^ {2}run .*^ {2}erase /ms.test(stdout) }).toEqual({
        args,
        code: 0,
        all: true,
      });
    }
  });

  it('a user without a home', async () => {
    expect(await runCli(['--version'], { HOME: '' })).toMatchObject({ code: 0, stderr: '' });
  });
});

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { runCli, writeConfig } from '../support/daemon.ts';
import {
  addWebhook,
  claimant,
  eventOf,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestStore,
} from '../outbox/support.ts';
import { recordAct } from '../../src/audit/act/record-act.ts';

const bin = new URL('../../src/cli/bin.js', import.meta.url).pathname;

describe('the progress bar', () => {
  let test: TestStore;
  let config: Awaited<ReturnType<typeof writeConfig>>;

  beforeAll(async () => {
    test = await openTestStore('mysql');
    const url = test.schema.url();
    config = await writeConfig(`source: { url: "${url}_clinic" }\nstore: { url: "${url}" }\n`);
    await addWebhook(test.vault);
    const outbox = await openTestAppender(claimant(test.store), test.vault);
    await outbox.append([eventOf('e1'), eventOf('e2', { key: '2' })], { room: muchRoom });
    const ana = { name: 'ana', role: 'admin' } as const;
    await recordAct(test.store, test.vault.cipher, { actor: ana, action: 'delivery.read' });
    await sealOnce(test.vault);
  });
  afterAll(async () => {
    await test.close();
    await config.remove();
  });

  it.each([
    ['verifying', ['audit', 'verify'], '9 of 9'],
    ['exporting', ['deliveries', 'export'], '2 of 2'],
  ])('is shown on a terminal and taken away at the end: %s', async (label, command, counts) => {
    const args = [...command, '--config', config.file];
    const line = [process.execPath, bin, ...args].map((word) => `'${word}'`).join(' ');
    const { stdout } = await promisify(execFile)('script', [
      '--quiet',
      '--return',
      '--command',
      line,
      '/dev/null',
    ]);
    expect(stdout).toContain(`\r${label} ${'█'.repeat(30)} 100 % (${counts})\u001b[K`);
    expect(stdout.indexOf('\r\u001b[K')).toBeGreaterThan(stdout.lastIndexOf('█'));

    const piped = await runCli(args);
    expect(piped).toMatchObject({ code: 0, stderr: '' });
    expect(piped.stdout).not.toContain('█');
  });
});

import { describe, expect, it } from 'vitest';
import { checkStorePrivacy } from '../../src/cli/check/store-privacy.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { CheckResult } from '../../src/binlog/preflight/preflight.ts';
import { writeConfig } from '../support/daemon.ts';

const key = Buffer.alloc(32, 7).toString('base64');

async function linesOf(store: string, source = 'mysql://u:p@localhost/clinic'): Promise<CheckResult[]> {
  const { file } = await writeConfig(`source: { url: "${source}" }\nstore: { ${store} }\n`);
  return checkStorePrivacy(loadConfig(file, {}));
}

describe('what check says of the privacy of the store', () => {
  it.each([
    ['url: "mysql://u:p@localhost/store"', 'warn', /^Patients' payloads, secrets, headers and credentials/],
    ['url: "mysql://u:p@localhost/store", key_file: ./keys', 'warn', /^Secrets, headers and credentials/],
    [`url: "mysql://u:p@localhost/store", encryption_key: "${key}"`, 'pass', /are encrypted\.$/],
    [
      `url: "mysql://u:p@localhost/store", encryption_key: "${key}", key_file: ./keys`,
      'pass',
      /reach backups/,
    ],
  ])('%s: %s', async (store, level, detail) => {
    const lines = await linesOf(store);
    expect(lines).toMatchObject([{ id: 'encryption-at-rest', level, detail: expect.stringMatching(detail) }]);
    expect(lines[0]!.remedy === null).toBe(level === 'pass');
    expect(JSON.stringify(lines)).not.toContain(key);
  });

  it.each([
    ['mysql://u:p@db.example.com/store', 'warn', 'in the clear'],
    ['mysql://u:p@db.example.com/store?ssl=skip-verify', 'warn', 'not verified'],
    ['mysql://u:p@db.example.com/store?ssl=true', 'pass', 'verified'],
    ['mysql://u:p@127.0.0.1/store', 'pass', 'this machine'],
  ])('%s on another host than the source: %s', async (url, level, detail) => {
    const [line] = await linesOf(`url: "${url}"`, 'mysql://u:p@source.example.com/clinic?ssl=true');
    expect(line).toMatchObject({ id: 'store-tls', level, detail: expect.stringContaining(detail) });
    if (level === 'warn') expect(line?.remedy).toContain('store.url');
  });
});

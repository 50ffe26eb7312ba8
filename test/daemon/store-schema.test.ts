import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { runCli, startDaemonProcess, writeConfig } from '../support/daemon.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

describe.each(flavours)('tables of the store that SQL has edited, on %s', (flavour) => {
  let clinic: TestSchema;
  const storeName = `store_${randomBytes(5).toString('hex')}`;

  beforeAll(async () => {
    clinic = await createSchema(sharedServer(flavour));
    await loadClinic(await clinic.connect());
  });
  afterAll(async () => {
    await clinic.query(`DROP DATABASE IF EXISTS ${storeName}`);
    await clinic.drop();
  });

  it(
    'keep a daemon from being ready or from starting, until the remedy has run',
    { timeout: 180_000 },
    async () => {
      const storeUrl = `${sharedServer(flavour).url}/${storeName}`;
      const start = () => startDaemonProcess({ sourceUrl: clinic.url(), storeUrl });
      const daemon = await start();
      try {
        await daemon.untilReady();
        await clinic.query(
          `ALTER TABLE ${storeName}.kept_payloads ENGINE = MyISAM; CREATE INDEX ours ON ${storeName}.event_log (type)`,
        );
        const body = await waitFor(
          async () => {
            const { status, body: text } = await daemon.get('/readyz');
            return status === 503 ? text : undefined;
          },
          { timeoutMs: 90_000, what: 'the daemon to notice it' },
        );
        expect(body).toContain('the table kept_payloads has the engine MyISAM instead of InnoDB');
        expect(body).toContain('ALTER TABLE `kept_payloads` ENGINE = InnoDB;');
        expect((await daemon.get('/metrics')).body).toContain(
          'odontology_webhooks_store_schema_differences 1',
        );
        expect(daemon.log.map(({ msg }) => msg)).toContain(
          'the index ours of event_log was added: not unique, on type',
        );
        await daemon.stop();
        await expect(start()).rejects.toThrow(/ended with 1: [^]*has the engine MyISAM/);

        const config = await writeConfig(
          `source: { url: "${clinic.url()}" }\nstore: { url: "${storeUrl}" }\n`,
        );
        const checked = await runCli(['check', '--config', config.file]);
        await config.remove();
        expect(checked.code).toBe(1);
        expect(checked.stdout).toMatch(
          /fail\s+Tables of the store\s+They are not as this version makes them/,
        );
      } finally {
        await daemon.kill();
      }
      await clinic.query(`ALTER TABLE ${storeName}.kept_payloads ENGINE = InnoDB`);
      const again = await start();
      await again.untilReady();
      await again.stop();
    },
  );
});

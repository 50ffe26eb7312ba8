import { fingerprintOf, readSealState } from '../../src/db/proof/seal-key.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { recordAct, type Actor } from '../../src/audit/act/record-act.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { formatReport } from '../../src/cli/check/report.ts';
import { inspectSealedLog } from '../../src/daemon/check/inspect-sealed-log.ts';
import { openStore } from '../../src/db/connection/client.ts';
import { clearCipher, createCipher } from '../../src/crypto/cipher.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { emptyTables, openTestStore, type TestStore } from '../outbox/support.ts';
import { createSchema, flavours, sharedServer } from '../support/server.ts';

const ana: Actor = { name: 'ana', role: 'admin' };
const encryptionKeys = [{ id: 'k1', bytes: Buffer.alloc(32, 1) }];
const cipher = createCipher(encryptionKeys);

describe.each(flavours)('the line of check about the sealed log, on %s', (flavour) => {
  let test: TestStore;

  beforeAll(async () => {
    test = await openTestStore(flavour);
  });
  afterAll(() => test.close());
  beforeEach(() => emptyTables(test));

  const configOf = (keys = encryptionKeys, key: string | null = null) => ({
    audit: { sealIntervalMs: 10_000, key },
    store: { encryptionKeys: keys, keyFile: null },
  });
  const judge = (keys = encryptionKeys) => inspectSealedLog(test.store, configOf(keys));
  const act = (with_ = cipher) =>
    recordAct(test.store, with_, { actor: ana, action: 'delivery.read', target: '1' });
  const seal = (with_ = cipher) => sealOnce({ store: test.store, cipher: with_ });
  const letDaemonRun = () =>
    test.schema.query(
      "INSERT INTO leases (name, holder, token, expires_at) VALUES ('capture', 'x', 1, UTC_TIMESTAMP(3) + INTERVAL 11 SECOND)",
    );
  const age = (interval: string) =>
    test.schema.query(`UPDATE audit_log SET at = UTC_TIMESTAMP(3) - INTERVAL ${interval}`);

  it('passes before the first entry, and where everything is sealed', async () => {
    expect(await judge()).toMatchObject({ level: 'pass', detail: expect.stringContaining('Nothing') });
    await act();
    expect(await judge()).toMatchObject({ level: 'pass', detail: 'No seal yet. The signing key opens.' });
    await seal();
    const judged = await judge();
    expect(judged).toMatchObject({ id: 'sealed-log', level: 'pass', remedy: null });
    expect(judged.detail).toMatch(/^Up to date, \d+m?s after seal 1\. The signing key opens\.$/);
  });

  it('fails where the log is not the one that audit.key names, or is gone', async () => {
    const pinned = (key: string) => inspectSealedLog(test.store, configOf(encryptionKeys, key));
    const other = Array.from({ length: 16 }, () => '0000').join(':');
    expect(await pinned(other)).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('no sealed log'),
    });
    await act();
    await seal();
    const own = fingerprintOf((await readSealState(test.store))!.publicKey);
    expect(await pinned(own)).toMatchObject({ level: 'pass' });
    expect(await pinned(other)).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining(`audit.key names ${other}`),
    });
    await emptyTables(test);
    expect(await pinned(own)).toMatchObject({ level: 'fail' });
  });

  it('passes before the migration, and skips a store that does not answer', async () => {
    const schema = await createSchema(sharedServer(flavour));
    const empty = openStore(parseDatabaseUrl(schema.url()));
    expect(await inspectSealedLog(empty, configOf())).toMatchObject({ level: 'pass' });
    await schema.drop();
    expect(await inspectSealedLog(empty, configOf())).toMatchObject({ level: 'pass' });
    await empty.close();
    const away = openStore(parseDatabaseUrl('mysql://u:p@127.0.0.1:1/s'));
    expect(await inspectSealedLog(away, configOf())).toMatchObject({ level: 'skip' });
    await away.close();
  });

  it.each(['epoch = 5', "lineage = 'x', flavour = 'mysql', file = 'f', `offset` = 4", 'mark = NULL'])(
    'fails where SQL edited the checkpoint: %s',
    async (edit) => {
      await act();
      await seal();
      await test.schema.query(`UPDATE checkpoint SET ${edit}`);
      expect(await judge()).toMatchObject({
        level: 'fail',
        detail: expect.stringContaining('was edited by SQL'),
        remedy: expect.stringContaining('resume --accept-gap'),
      });
    },
  );

  it('warns of a signing key in the clear', async () => {
    await act(clearCipher);
    await seal(clearCipher);
    expect(await judge([])).toMatchObject({
      level: 'warn',
      detail: expect.stringContaining('in the clear'),
      remedy: expect.stringContaining('store.encryption_key'),
    });
  });

  it('warns of entries that wait while no daemon runs, and fails while one does', async () => {
    await act();
    await age('34 SECOND');
    expect(await judge()).toMatchObject({ level: 'pass' });
    await age('3 HOUR');
    expect(await judge()).toMatchObject({
      level: 'warn',
      detail: expect.stringContaining('is 3h old: no daemon runs'),
      remedy: 'odontology-webhooks run',
    });
    await letDaemonRun();
    expect(await judge()).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('sealing has stopped'),
      remedy: expect.stringContaining('information_schema.innodb_trx;'),
    });
  });

  it('fails while a session holds the key, without waiting for it', async () => {
    await act();
    const [written] = await test.schema.query('SELECT MAX(at) AS at FROM audit_log');
    await age('3 HOUR');
    await letDaemonRun();
    const holder = await test.schema.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT * FROM seal_state FOR UPDATE');
    expect(await seal()).toBeNull();
    expect(await judge()).toMatchObject({ level: 'fail', detail: expect.stringContaining('stopped') });
    await holder.query('ROLLBACK');
    // An act whose time was edited is not sealed.
    await expect(seal()).rejects.toMatchObject({ code: 'ERR_AUDIT' });
    await test.schema.query('UPDATE audit_log SET at = ?', [written!['at']]);
    await seal();
    expect(await judge()).toMatchObject({ level: 'pass' });
  });

  it.each([
    ['the key was deleted', 'DELETE FROM seal_state', /its signing key is missing/],
    ['the key was replaced', "UPDATE seal_state SET public_key = 'x'", /public key is not that of/],
    ['the key is no key', "UPDATE seal_state SET private_key = 'x'", /private key is no key/],
    ['the last seal was edited', "UPDATE seals SET sealed_at = '2000-01-01'", /seal 1 was edited/],
    ['the beginning was edited', 'UPDATE seal_state SET anchor_number = 1', /its beginning is not signed/],
  ])('fails when %s', async (_what, sql, said) => {
    await act();
    await seal();
    await test.schema.query(sql);
    expect(await judge()).toMatchObject({
      level: 'fail',
      detail: expect.stringMatching(said),
      remedy: expect.stringContaining('`audit verify`'),
    });
  });

  it('fails when a table was dropped, and warns of one of an older version', async () => {
    await act();
    await seal();
    await test.schema.query('ALTER TABLE seals RENAME COLUMN version TO version_before');
    expect(await judge()).toMatchObject({ level: 'warn', remedy: 'odontology-webhooks migrate' });
    await test.schema.query('ALTER TABLE seals RENAME COLUMN version_before TO version');
    await test.schema.query('RENAME TABLE seals TO seals_before');
    expect(await judge()).toMatchObject({ level: 'fail', detail: expect.stringContaining('is missing') });
    await test.schema.query('RENAME TABLE seals_before TO seals');
  });

  it('fails when the signing key does not open with the configured keys', async () => {
    await act();
    await seal();
    for (const keys of [[], [{ id: 'k2', bytes: Buffer.alloc(32, 2) }]])
      expect(await judge(keys)).toMatchObject({
        level: 'fail',
        detail: expect.stringContaining('"k1", which is not configured'),
        remedy: expect.stringContaining('old_encryption_keys'),
      });
  });

  it('fits into 80 columns', async () => {
    await act();
    await age('3 HOUR');
    await letDaemonRun();
    const text = formatReport({ ok: false, server: 'MySQL', checks: [await judge()] });
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(text).toContain('SELECT trx_mysql_thread_id, trx_started FROM information_schema.innodb_trx;');
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listActs } from '../../src/audit/act/acts.ts';
import { recordKeyChange } from '../../src/audit/act/change-key.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { createCipher } from '../../src/crypto/cipher.ts';
import { openMarker } from '../../src/db/proof/marks.ts';
import { readSealState } from '../../src/db/proof/seal-key.ts';
import { openTestStore, type TestStore } from '../outbox/support.ts';
import { flavours } from '../support/server.ts';

const keyOf = (id: string, byte: number) => ({ id, bytes: Buffer.alloc(32, byte) });

describe.each(flavours)('a change of the encryption key, on %s', (flavour) => {
  let test: TestStore;

  beforeAll(async () => {
    test = await openTestStore(flavour);
  });
  afterAll(() => test.close());

  it('is on record with the ids of both keys, once, and the log is proved with the new one alone', async () => {
    const { store } = test;
    const [first, both, second] = [
      createCipher([keyOf('k1', 1)]),
      createCipher([keyOf('k2', 2), keyOf('k1', 1)]),
      createCipher([keyOf('k2', 2)]),
    ];
    await openMarker(store, first);
    expect(await recordKeyChange(store, first)).toBe(false);
    // A command that runs with the new configuration before the daemon is restarted.
    await openMarker(store, both);
    expect((await readSealState(store))!.privateKey).toMatch(/^enc:v1:k1:/);
    expect(await recordKeyChange(store, both)).toBe(true);
    expect(await recordKeyChange(store, both)).toBe(false);
    expect((await listActs(store, { action: 'store.change-key' }, { limit: 5 })).items).toMatchObject([
      { actor: 'configuration file', role: 'file', details: { from: 'k1', to: 'k2' } },
    ]);
    const vault = { store, cipher: second };
    while (await sealOnce(vault));
    expect(await verifyLog(vault)).toMatchObject({ ok: true, flaw: null });
  });
});

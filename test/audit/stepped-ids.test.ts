import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordAct } from '../../src/audit/act/record-act.ts';
import { readLastSeal } from '../../src/audit/seal/chain.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import type { Session } from '../../src/db/connection/client.ts';
import { openMarker } from '../../src/db/proof/marks.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { openTestStore, type TestStore } from '../outbox/support.ts';
import { servers } from '../support/server.ts';

const rounds = 40;
/** One for each quarter of the two minutes that a range stays open, and one on either side. */
const mostRanges = 10;

/** As the members of a cluster do, so that no two give out the same id. */
describe.each(servers)('a log whose ids are counted in steps of 10 by two writers, on %s', (variant) => {
  let server: PrivateServer;
  let test: TestStore;

  beforeAll(async () => {
    server = await startPrivateServer({
      flavour: variant,
      settings: ['auto-increment-increment=10', 'auto-increment-offset=3'],
    });
    test = await openTestStore(server);
    await openMarker(test.store, test.vault.cipher);
  });
  afterAll(async () => {
    await test.close();
    await server.stop();
  });

  const act = (tx: Session): Promise<unknown> =>
    recordAct(tx, test.vault.cipher, { actor: { name: 'ana', role: 'admin' }, action: 'webhook.update' });

  it(
    'has a bounded number of open ranges, and seals what appears in one late',
    { timeout: 120_000 },
    async () => {
      const other = test.another();
      const byOther = (work: (tx: Session) => Promise<unknown>): Promise<unknown> =>
        other.transaction(async (tx) => {
          await tx.run('SET SESSION auto_increment_offset = 7');
          return work(tx);
        });
      const [written, released] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
      const late = byOther(async (tx) => {
        await act(tx);
        written.resolve(undefined);
        await released.promise;
      });
      await written.promise;
      for (let round = 0; round < rounds; round += 1) {
        await act(test.store);
        await byOther(act);
        await sealOnce(test.vault);
      }
      const { progress } = (await readLastSeal(test.store))!;
      expect(progress!.audit_log.open.length).toBeGreaterThan(0);
      expect(progress!.audit_log.open.length).toBeLessThanOrEqual(mostRanges);
      expect(await verifyLog(test.vault)).toMatchObject({ ok: true, unsealed: 0 });

      released.resolve(undefined);
      await late;
      expect(await sealOnce(test.vault)).toMatchObject({ entries: 1 });
      await act(test.store);
      await sealOnce(test.vault, { graceMs: 0 });
      const closed = (await readLastSeal(test.store))!;
      // The act that made this seal possible left a gap of its own.
      expect(closed.progress!.audit_log.open.length).toBeLessThanOrEqual(1);
      expect(await verifyLog(test.vault)).toMatchObject({ ok: true, unsealed: 0 });
      const ids = (await test.schema.query('SELECT id % 10 AS id FROM audit_log')).map(({ id }) => id);
      expect(new Set(ids)).toEqual(new Set([3, 7]));
    },
  );
});

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { proveLineage } from '../../src/binlog/position/lineage.ts';
import type { Checkpoint, Lineage } from '../../src/binlog/position/verdict.ts';
import { currentPosition, globalVariable } from '../../src/binlog/source/log-file.ts';
import { openSource, type Source } from '../../src/binlog/source/source.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import type { PrivateServer } from '../../src/demo/private-server.ts';
import { purgeLogs } from '../support/purge-logs.ts';
import type { TestSchema } from '../support/server.ts';
import { modes, startMode } from './modes.ts';

/**
 * The checkpoint of a clean stop, and everything that can lie between it and the oldest file that was kept. `stop` is the transaction
 * that moved the checkpoint for the last time; `other` is any other one.
 */
describe.each(modes.filter(({ gtid }) => gtid))(
  'the checkpoint of a clean stop on $name',
  { timeout: 60_000 },
  (mode) => {
    let server: PrivateServer;
    let schema: TestSchema;
    let source: Source;
    let stops = 0;

    beforeAll(async () => {
      ({ server, schema } = await startMode(mode));
      await schema.query('CREATE TABLE clean_stop (id INT PRIMARY KEY, stop INT)');
      source = openSource(parseDatabaseUrl(schema.url()));
    });
    afterAll(async () => {
      await source.close();
      await schema.drop();
      await server.stop();
    });
    beforeEach(async () => {
      await schema.query(
        mode.flavour === 'mysql'
          ? 'RESET BINARY LOGS AND GTIDS'
          : 'SET SESSION server_id = @@GLOBAL.server_id; RESET MASTER',
      );
      await stop();
      await other();
    });

    const stop = (): Promise<unknown> =>
      schema.query('REPLACE INTO clean_stop VALUES (1, ?)', [(stops += 1)]);
    const other = (): Promise<unknown> => schema.query("INSERT INTO t (text) VALUES ('other')");
    const flush = (): Promise<unknown> => schema.query('FLUSH BINARY LOGS');
    const purge = (): Promise<unknown> => purgeLogs((sql) => schema.query(sql));

    async function checkpoint(): Promise<Checkpoint> {
      const identity = await source.identify();
      const state = mode.flavour === 'mysql' ? null : await globalVariable(source, 'gtid_binlog_state');
      return {
        position: (await currentPosition(source, identity))!,
        flavour: mode.flavour,
        serverUuid: identity.serverUuid,
        committedAtMs: Date.now(),
        cleanStop: { schema: schema.name, state },
      };
    }
    const prove = async (from: Checkpoint): Promise<Lineage> =>
      proveLineage(source, await source.identify(), from);

    it('is followed where the stop alone was purged, whatever the kept files hold', async () => {
      const from = await checkpoint();
      await stop();
      await flush();
      await flush();
      await purge();
      for (let n = 0; n < 3; n += 1) await other();
      await flush();
      const proof = await prove(from);
      expect(proof).toMatchObject({ kind: 'ok', from: { offset: 4 } });
      const [oldest] = await schema.query('SHOW BINARY LOGS');
      expect(proof).toMatchObject({ from: { file: oldest!['Log_name'] } });
    });

    it('is refused without the word of the process that stopped', async () => {
      const from = await checkpoint();
      await stop();
      await flush();
      await purge();
      expect(await prove({ ...from, cleanStop: null })).toMatchObject({ kind: 'purged' });
      expect(await prove(from)).toMatchObject({ kind: 'ok' });
    });

    it.each(['before', 'after'])(
      'is refused where another transaction was purged %s the stop',
      async (where) => {
        const from = await checkpoint();
        if (where === 'before') await other();
        await stop();
        if (where === 'after') await other();
        await flush();
        await purge();
        expect(await prove(from)).toMatchObject({ kind: 'purged' });
      },
    );

    it('is refused where the one that was purged is another, and the stop is in a file behind it', async () => {
      const from = await checkpoint();
      await other();
      await flush();
      await purge();
      await flush();
      await stop();
      expect(await prove(from)).toMatchObject({ kind: 'purged' });
    });

    if (mode.flavour === 'mysql') {
      it('is refused where the stop is in a compressed transaction that was kept', async () => {
        const from = await checkpoint();
        await other();
        await flush();
        await purge();
        await schema.query('SET SESSION binlog_transaction_compression = ON');
        await stop();
        await schema.query('SET SESSION binlog_transaction_compression = OFF');
        expect(await prove(from)).toMatchObject({ kind: 'purged' });
      });
    } else {
      it.each([
        {
          what: 'a replicated one under a lower number',
          settings: 'server_id = 77, SESSION gtid_seq_no = 1',
        },
        { what: 'one of another domain', settings: 'gtid_domain_id = 9' },
        { what: 'one of another server', settings: 'server_id = 77' },
      ])('is refused where $what was purged as well', async ({ settings }) => {
        await schema.query('SET GLOBAL gtid_strict_mode = OFF');
        const from = await checkpoint();
        await schema.query(`SET SESSION ${settings}`);
        await other();
        await schema.query(
          'SET SESSION gtid_domain_id = 0, SESSION server_id = @@GLOBAL.server_id, SESSION gtid_seq_no = 0',
        );
        await stop();
        await flush();
        await purge();
        expect(await prove(from)).toMatchObject({ kind: 'purged' });
      });

      it('is refused where a domain that was read is gone from the list of the oldest file', async () => {
        await schema.query('SET SESSION gtid_domain_id = 9');
        await other();
        await schema.query('SET SESSION gtid_domain_id = 0');
        const from = await checkpoint();
        await stop();
        await flush();
        await purge();
        await schema.query('FLUSH BINARY LOGS DELETE_DOMAIN_ID = (9)');
        await purge();
        expect(await prove(from)).toMatchObject({ kind: 'purged' });
      });
    }
  },
);

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { proveLineage } from '../../src/binlog/position/lineage.ts';
import { startOfReading, type Checkpoint, type Lineage } from '../../src/binlog/position/verdict.ts';
import { currentPosition } from '../../src/binlog/source/log-file.ts';
import { findNextStart } from '../../src/binlog/position/next-start.ts';
import { openSource, type Source } from '../../src/binlog/source/source.ts';
import type { PrivateServer } from '../../src/demo/private-server.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { purgeLogs } from '../support/purge-logs.ts';
import { byName, openReader } from '../support/read-log.ts';
import type { TestSchema } from '../support/server.ts';
import { modes, startMode } from './modes.ts';

/** A MariaDB domain can be taken out of the log's state for good, by FLUSH BINARY LOGS DELETE_DOMAIN_ID. */
describe.each(modes.filter(({ flavour }) => flavour === 'mariadb'))(
  'GTID domains on $name',
  { timeout: 60_000 },
  (mode) => {
    let server: PrivateServer;
    let schema: TestSchema;
    let source: Source;
    let ends = 0;

    beforeAll(async () => {
      ({ server, schema } = await startMode(mode));
      source = openSource(parseDatabaseUrl(schema.url()));
    });
    afterAll(async () => {
      await source.close();
      await schema.drop();
      await server.stop();
    });
    beforeEach(async () => {
      await schema.query(
        'SET SESSION server_id = @@GLOBAL.server_id; SET GLOBAL gtid_strict_mode = OFF; RESET MASTER',
      );
    });

    /** Commits one row in a domain, under a number and a server id where they are given. */
    async function insert(text: string, domain = 0, { sequence = 0, serverId = 0 } = {}): Promise<void> {
      const settings = [`gtid_domain_id = ${domain}`, `gtid_seq_no = ${sequence}`];
      if (serverId > 0) settings.push(`server_id = ${serverId}`);
      await schema.query(`SET SESSION ${settings.join(', SESSION ')}`);
      await schema.query('INSERT INTO t (text) VALUES (?)', [text]);
      await schema.query('SET SESSION gtid_domain_id = 0, SESSION server_id = @@GLOBAL.server_id');
    }
    const flush = (): Promise<unknown> => schema.query('FLUSH BINARY LOGS');
    const purge = (): Promise<unknown> => purgeLogs((sql) => schema.query(sql));
    const retire = (...domains: number[]): Promise<unknown> =>
      schema.query(`FLUSH BINARY LOGS DELETE_DOMAIN_ID = (${domains.join(', ')})`);

    async function checkpoint(): Promise<Checkpoint> {
      const identity = await source.identify();
      const position = await currentPosition(source, identity);
      const { serverUuid } = identity;
      return { position: position!, flavour: 'mariadb', serverUuid, committedAtMs: Date.now() };
    }
    const prove = async (from: Checkpoint): Promise<Lineage> =>
      proveLineage(source, await source.identify(), from);

    /** What a daemon reads that begins again at the checkpoint, and where it stands then. */
    async function readOn(from: Checkpoint): Promise<{ rows: unknown[]; then: Checkpoint }> {
      const lineage = await prove(from);
      if (lineage.kind !== 'ok') throw new Error(lineage.message);
      const start = startOfReading(lineage, from.position);
      const end = `end ${(ends += 1)}`;
      await insert(end);
      const reader = await openReader({ ...start, flavour: 'mariadb', schema, watch: { t: ['text'] } });
      const rows: unknown[] = [];
      try {
        for (;;) {
          for (const part of await reader.take()) {
            rows.push(...part.rows.map((row) => byName(row, 'after')['text']));
            if (rows.at(-1) !== end) continue;
            const read = rows.filter((row) => !/^end \d+$/.test(String(row)));
            return { rows: read, then: { ...from, position: part.commit!.position } };
          }
        }
      } finally {
        reader.close();
      }
    }

    it('are read on behind several that were retired, with transactions before and after', async () => {
      await insert('of 7', 7);
      await insert('of 8', 8);
      await insert('of 0');
      await flush();
      await purge();
      const from = await checkpoint();
      await insert('before the retirement');
      await retire(7, 8);
      await insert('after the retirement');
      const { rows, then } = await readOn(from);
      expect(rows).toEqual(['before the retirement', 'after the retirement']);
      expect(then.position.gtid).not.toMatch(/\b[78]-/);
    });

    it('are read from their beginning where they are used again, under lower, equal and higher numbers', async () => {
      for (const domain of [7, 8, 9]) for (const text of ['a', 'b', 'c']) await insert(text, domain);
      await flush();
      await purge();
      const from = await checkpoint();
      await retire(7, 8, 9);
      await insert('7, 1', 7);
      for (const number of [1, 2, 3]) await insert(`8, ${number}`, 8);
      for (const number of [1, 2, 3, 4]) await insert(`9, ${number}`, 9);
      await flush();
      const { rows, then } = await readOn(from);
      expect(rows).toEqual(['7, 1', '8, 1', '8, 2', '8, 3', '9, 1', '9, 2', '9, 3', '9, 4']);
      await insert('9, 5', 9);
      expect((await readOn(then)).rows).toEqual(['9, 5']);
    });

    it('are read where one is used again after reading began in a file that still lists it', async () => {
      await insert('of 7', 7);
      await flush();
      await purge();
      const from = await checkpoint();
      await insert('before the retirement');
      await retire(7);
      await flush();
      const { rows, then } = await readOn(from);
      expect(rows).toEqual(['before the retirement']);
      await insert('of 7 again', 7);
      expect((await readOn(then)).rows).toEqual(['of 7 again']);
      // From a place whose file lists the domain, without it in the position.
      const dropped = {
        ...from,
        position: { ...from.position, gtid: from.position.gtid!.replace(/,?7-\d+-\d+/, '') },
      };
      expect((await readOn(dropped)).rows).toEqual(['before the retirement', 'of 7 again']);
    });

    it('are found out where the position still names them behind their retirement', async () => {
      await insert('of 7', 7);
      await insert('of 0');
      const read = await checkpoint();
      await flush();
      await purge();
      await retire(7);
      await insert('after the retirement');
      const now = await checkpoint();
      // As a reader leaves it that was open meanwhile.
      const seven = /7-\d+-1/.exec(read.position.gtid!)![0];
      const from = { ...now, position: { ...now.position, gtid: `${now.position.gtid},${seven}` } };
      await insert('of 7 again', 7);
      await insert('of 7 once more', 7);
      const { rows, then } = await readOn(from);
      expect(rows).toEqual(['of 7 again', 'of 7 once more']);
      expect(await prove(then)).toEqual({ kind: 'ok' });
    });

    it('may all be retired while the file that was read is there', async () => {
      await insert('of 0');
      await insert('of 7', 7);
      await flush();
      await purge();
      const from = await checkpoint();
      await retire(0, 7);
      expect(await prove(from)).toMatchObject({ kind: 'ok', from: { file: from.position.file, gtid: '' } });
      await insert('of 3', 3);
      expect((await readOn(from)).rows).toEqual(['of 3']);
    });

    it('that are all gone, and the file with them, look like a log that was reset', async () => {
      await insert('of 7', 7);
      const from = await checkpoint();
      await flush();
      await purge();
      await retire(7, 0);
      expect(await prove(from)).toMatchObject({ kind: 'ahead-of-source' });
      const start = await findNextStart(source, await source.identify(), {
        kind: 'ahead-of-source',
        checkpoint: from,
      });
      await insert('new');
      expect((await readOn({ ...from, position: start!.position })).rows).toEqual(['new']);
    });

    it('do not hide a log that was reset', async () => {
      for (let i = 0; i < 5; i += 1) await insert('old');
      await insert('of 7', 7);
      const from = await checkpoint();
      await schema.query('RESET MASTER');
      await insert('new');
      await flush();
      expect(await prove(from)).not.toMatchObject({ kind: 'ok' });
    });

    it('are read on where the file was purged, and nothing in it was unread', async () => {
      await insert('of 7', 7);
      await insert('of 0');
      const from = await checkpoint();
      await flush();
      await purge();
      await insert('before the retirement');
      await retire(7);
      await insert('of 7 again', 7);
      expect((await readOn(from)).rows).toEqual(['before the retirement', 'of 7 again']);
    });

    it('cost one accepted gap where something of another domain was purged unread', async () => {
      await insert('of 7', 7);
      await insert('of 0');
      const from = await checkpoint();
      await insert('lost');
      await flush();
      await purge();
      await retire(7);
      await insert('of 7 again', 7);
      const broken = await prove(from);
      expect(broken).toMatchObject({
        kind: 'purged',
        missing: expect.stringMatching(/^0-\*-2 to 0-\d+-2$/) as string,
      });
      const start = await findNextStart(source, await source.identify(), {
        kind: 'purged',
        checkpoint: from,
      });
      expect((await readOn({ ...from, position: start!.position })).rows).toEqual(['of 7 again']);
    });

    it('may have numbers out of order', async () => {
      await insert('one', 0, { sequence: 1_000 });
      const high = await checkpoint();
      await insert('two', 0, { sequence: 500 });
      const low = await checkpoint();
      await flush();
      await insert('three', 5, { sequence: 40 });
      await insert('four', 5, { sequence: 4 });
      expect((await readOn(high)).rows).toEqual(['two', 'three', 'four']);
      expect((await readOn(low)).rows).toEqual(['three', 'four']);
    });

    it('may be written by another server id, as after a promotion', async () => {
      await insert('one');
      const from = await checkpoint();
      await insert('two', 0, { serverId: 4_242 });
      const promoted = await checkpoint();
      await flush();
      await insert('three', 0, { serverId: 4_343 });
      await insert('four');
      expect((await readOn(from)).rows).toEqual(['two', 'three', 'four']);
      expect((await readOn(promoted)).rows).toEqual(['three', 'four']);
    });

    it('may be retired and used again in strict mode', async () => {
      await schema.query('SET GLOBAL gtid_strict_mode = ON');
      await insert('a', 7);
      await insert('b', 7);
      await flush();
      await purge();
      const from = await checkpoint();
      await retire(7);
      await insert('a again', 7);
      await insert('of 0');
      expect((await readOn(from)).rows).toEqual(['a again', 'of 0']);
    });
  },
);

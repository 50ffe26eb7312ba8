import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findNextStart } from '../../src/binlog/position/next-start.ts';
import { currentPosition, readFileCreatedAt } from '../../src/binlog/source/log-file.ts';
import { openSource, type Source, type SourceIdentity } from '../../src/binlog/source/source.ts';
import type { Position } from '../../src/binlog/types.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import type { PrivateServer } from '../../src/demo/private-server.ts';
import type { TestSchema } from '../support/server.ts';
import { modes, startMode } from './modes.ts';

describe.each(modes)(
  'where reading continues after a reset of the log, on $name',
  { timeout: 60_000 },
  (mode) => {
    let server: PrivateServer;
    let schema: TestSchema;
    let source: Source;
    let identity: SourceIdentity;

    beforeAll(async () => {
      ({ server, schema } = await startMode(mode));
      source = openSource(parseDatabaseUrl(schema.url()));
      identity = await source.identify();
    });
    afterAll(async () => {
      await source.close();
      await schema.drop();
      await server.stop();
    });

    const reset = (): Promise<unknown> =>
      schema.query(mode.flavour === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER');

    /** Where a log ended that is reset within the second in which it was begun. */
    async function resetWithinASecond(): Promise<Position> {
      for (let turn = 0; turn < 20; turn += 1) {
        await reset();
        // More transactions than are written after the second reset: their numbers are missing then.
        for (let count = 0; count < 6; count += 1)
          await schema.query("INSERT INTO t (text) VALUES (REPEAT('x', 2000))");
        const read = await currentPosition(source, identity);
        await reset();
        if ((await readFileCreatedAt(source, read!.file)) === read!.fileCreatedAt) return read!;
      }
      throw new Error('No two resets fell into one second.');
    }

    // By file and offset alone a longer file of the same name and second looks like the one that was read.
    const lengths = mode.gtid ? [10, 30_000] : [10];
    it.each(lengths)(
      'reads a file of the name and the second of the old one from its beginning: %i bytes',
      async (bytes) => {
        const read = await resetWithinASecond();
        for (let turn = 0; turn < 3; turn += 1)
          await schema.query("INSERT INTO t (text) VALUES (REPEAT('y', ?))", [bytes]);
        const next = await findNextStart(source, identity, {
          kind: 'diverged',
          checkpoint: {
            position: read,
            flavour: identity.flavour,
            serverUuid: identity.serverUuid,
            committedAtMs: read.fileCreatedAt! * 1_000,
          },
        });
        expect(next).toMatchObject({ position: { file: read.file, offset: 4 }, sameHistory: false });
      },
    );
  },
);

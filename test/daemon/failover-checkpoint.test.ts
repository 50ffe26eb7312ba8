import { describe, expect, it } from 'vitest';
import type { BinlogStream } from '../../src/binlog/stream.ts';
import { StaleSchemaError } from '../../src/binlog/transaction/stale-schema.ts';
import type { TransactionPart } from '../../src/binlog/types.ts';
import { capture, type CaptureOptions } from '../../src/capture/capture.ts';
import type { CompiledSource } from '../../src/capture/compiled-source.ts';
import type { Appender } from '../../src/outbox/append/append.ts';
import type { Checkpoint } from '../../src/outbox/types.ts';

const demoted: Checkpoint = {
  lineage: 'mysql/0',
  flavour: 'mysql',
  serverUuid: 'demoted',
  position: { gtid: 'a:1-9', file: 'binlog.000009', offset: 900 },
  committedAtMs: null,
  passedMs: null,
};

/** Gives out these parts one after the other, then fails. */
function readerOf(parts: readonly TransactionPart[], failure: Error): BinlogStream {
  const left = [...parts];
  const reader: Pick<BinlogStream, 'take' | 'hasMore' | 'untilMore'> = {
    take: () => (left.length > 0 ? Promise.resolve([left.shift()!]) : Promise.reject(failure)),
    hasMore: () => left.length > 0,
    untilMore: () => Promise.resolve(),
  };
  return reader as BinlogStream;
}

async function checkpointsOf(parts: readonly TransactionPart[]): Promise<Checkpoint[]> {
  const written: Checkpoint[] = [];
  const appender: Pick<Appender, 'advance'> = {
    advance: (checkpoint) => Promise.resolve(void written.push(checkpoint)),
  };
  const options: CaptureOptions = {
    appender: appender as Appender,
    mapping: () => {
      throw new Error('nothing is mapped');
    },
    lookups: () => ({ resolve: () => Promise.resolve([]) }),
    resubscribe: () => Promise.resolve(),
    room: () => ({ total: 0, of: () => 0 }),
    dispatch: () => undefined,
    place: { file: 'binlog.000001', offset: 0 },
    serverUuid: 'promoted',
    baseline: {},
    live: { clinic: {} as CompiledSource, end: undefined },
    redefine: () => Promise.resolve(null),
    cascades: { follow: () => Promise.resolve(false), reach: () => null, eventsOf: () => [] },
    onMoved: () => undefined,
    onAppended: () => undefined,
  };
  await capture(readerOf(parts, new StaleSchemaError('t', { name: { kind: 'text' } })), demoted, options);
  return written;
}

describe('the checkpoint behind a failover', () => {
  it('keeps the server of its file and offset while nothing was read from the promoted one', async () => {
    const [written] = await checkpointsOf([]);
    expect(written).toMatchObject({ serverUuid: 'demoted', position: demoted.position, baseline: { t: {} } });
  });

  it('is of the promoted server with the first transaction that is read from it', async () => {
    const position = { gtid: 'a:1-10', file: 'binlog.000002', offset: 300 };
    const part: TransactionPart = {
      id: 'a:10',
      rows: [],
      firstOrdinal: 0,
      commit: { position, committedAtMs: 1, isEstimated: false, passedMs: null },
      ddl: [],
      bytes: 100,
    };
    for (const written of await checkpointsOf([part]))
      expect(written).toMatchObject({ serverUuid: 'promoted', position });
  });
});

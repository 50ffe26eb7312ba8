import { describe, expect, it } from 'vitest';
import { eventType } from '../../src/binlog/protocol/event-type.ts';
import { LogClock } from '../../src/binlog/transaction/log-clock.ts';
import { HEADER_BYTES, readLogEvent } from '../../src/binlog/protocol/log-event.ts';
import { StatementPolicy } from '../../src/binlog/statement/statement-policy.ts';
import { TransactionAssembler } from '../../src/binlog/transaction/transaction-assembler.ts';
import type { TransactionPart } from '../../src/binlog/types.ts';
import { systemClock } from '../../src/lib/clock.ts';

/** Asks the source about every statement. */
class AskingPolicy extends StatementPolicy {
  readonly answered = Promise.withResolvers<undefined>();

  override refuse(): Promise<void> {
    return this.answered.promise;
  }
}

/** A Query event of a session in schema `clinic`: it began at `timestamp` and took so many seconds. */
function queryEvent(text: string, { timestamp, seconds }: { timestamp: number; seconds: number }): Buffer {
  const schema = 'clinic';
  const body = Buffer.alloc(13);
  body.writeUInt32LE(seconds, 4);
  body.writeUInt8(schema.length, 8);
  const event = Buffer.concat([Buffer.alloc(HEADER_BYTES), body, Buffer.from(`${schema}\0${text}`)]);
  event.writeUInt32LE(timestamp, 0);
  event.writeUInt8(eventType.query, 4);
  event.writeUInt32LE(event.length, 9);
  event.writeUInt32LE(1_000, 13);
  return event;
}

describe('the bytes of an event', () => {
  it('are not read after the reader has returned: the connection may have others there by then', async () => {
    const watch = {
      columnsOf: (_schema: string, table: string) => (table === 'citas' ? new Set(['id']) : undefined),
      isWatchedSchema: (schema: string) => schema === 'clinic',
      watchedTables: () => ['citas'],
      flavour: 'mariadb' as const,
      charsetOf: () => 'utf8mb4',
    };
    const statements = new AskingPolicy({ ...watch, url: null, scanLog: () => Promise.resolve(false) });
    const parts: TransactionPart[] = [];
    const assembler = new TransactionAssembler({
      ...watch,
      statements,
      position: { gtid: null, file: 'binlog.000001', offset: 4 },
      clock: new LogClock(systemClock),
      gtidSet: null,
      hintsOf: () => undefined,
      waived: new Set(),
      baseline: {},
      emit: (part) => parts.push(part),
      room: () => undefined,
    });
    const endedAt = Math.floor(Date.now() / 1_000) - 10;
    const event = queryEvent('ALTER TABLE citas ADD x INT', { timestamp: endedAt - 300, seconds: 300 });
    const pending = assembler.handle(readLogEvent(event, 0, event.length));
    event.fill(0xff);
    statements.answered.resolve(undefined);
    await pending;
    expect(parts.map(({ commit, ddl }) => [commit?.committedAtMs, ddl])).toEqual([
      [endedAt * 1_000, ['citas']],
    ]);
  });
});

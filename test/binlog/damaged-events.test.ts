import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ByteReader } from '../../src/binlog/protocol/byte-reader.ts';
import { HaltError } from '../../src/binlog/halt.ts';
import { LogClock } from '../../src/binlog/transaction/log-clock.ts';
import { CHECKSUM_BYTES, HEADER_BYTES, readLogEvent } from '../../src/binlog/protocol/log-event.ts';
import { StatementPolicy } from '../../src/binlog/statement/statement-policy.ts';
import { TransactionAssembler } from '../../src/binlog/transaction/transaction-assembler.ts';
import type { Cell, Flavour, TransactionPart } from '../../src/binlog/types.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createRandom } from './seeded-random.ts';

/** A stretch of a real log: whole transactions of a table with a column of each format, in hex, checksums included. */
interface Recording {
  server: string;
  flavour: Flavour;
  name: string;
  events: string[];
}

const recordings = JSON.parse(
  readFileSync(new URL('recorded-events.json', import.meta.url), 'utf8'),
) as Recording[];

const charsets: Readonly<Record<number, string>> = {
  8: 'latin1',
  13: 'sjis',
  45: 'utf8mb4',
  46: 'utf8mb4',
  63: 'binary',
  255: 'utf8mb4',
};
const columns = new Set(
  'id,big,amount,name,note,sj,status,flags,born,at,stamp,late,y,ratio,f,bits,bin,doc,pos,u,ip,comp'.split(
    ',',
  ),
);

/**
 * Bounds for each byte that is read. The loops over rows, columns and metadata take their bytes by ByteReader.skip, so that its calls
 * count their turns; the characters bound what JSON, text and unpacked bytes become.
 */
const MAX_STEPS_PER_BYTE = 20;
const MAX_CHARACTERS_PER_BYTE = 40;

let steps = 0;
let maxSteps = Infinity;

class TooManySteps extends Error {}

const skip = Object.getOwnPropertyDescriptor(ByteReader.prototype, 'skip')!;
beforeAll(() => {
  const original = skip.value as (this: ByteReader, bytes: number) => void;
  Object.defineProperty(ByteReader.prototype, 'skip', {
    ...skip,
    value(this: ByteReader, bytes: number) {
      steps += 1;
      if (steps > maxSteps) throw new TooManySteps();
      original.call(this, bytes);
    },
  });
});
afterAll(() => Object.defineProperty(ByteReader.prototype, 'skip', skip));

/** Reads the events as a stream does. Rejects with what the reader throws. */
async function read(flavour: Flavour, events: readonly Buffer[]): Promise<TransactionPart[]> {
  const parts: TransactionPart[] = [];
  const watch = {
    columnsOf: (schema: string, table: string) => (schema === 'rec' && table === 't' ? columns : undefined),
    isWatchedSchema: (schema: string) => schema === 'rec',
    watchedTables: () => ['t'],
  };
  const charsetOf = (id: number): string | undefined => charsets[id];
  const assembler = new TransactionAssembler({
    ...watch,
    flavour,
    charsetOf,
    position: { gtid: null, file: 'binlog.000001', offset: 4 },
    clock: new LogClock(systemClock),
    gtidSet: null,
    hintsOf: () => ({
      types: new Map([
        ['u', 'uuid'],
        ['ip', 'inet6'],
        ...(flavour === 'mariadb' ? [['doc', 'json'] as const] : []),
      ]),
      fractions: new Map(),
      plainColumns: new Set(['id']),
    }),
    statements: new StatementPolicy({
      ...watch,
      flavour,
      charsetOf,
      url: null,
      scanLog: () => Promise.resolve(false),
    }),
    waived: new Set(),
    baseline: {},
    emit: (part) => parts.push(part),
    room: () => undefined,
  });
  for (const event of events)
    await assembler.handle(readLogEvent(event, 0, Math.max(HEADER_BYTES, event.length - CHECKSUM_BYTES)));
  return parts;
}

const charactersOf = (cell: Cell): number =>
  typeof cell === 'string' || cell instanceof Uint8Array ? cell.length : 1;

/** What is wrong with how damaged events were read; null where they are read, or refused by name, in bounded work. */
async function findFault(flavour: Flavour, events: readonly Buffer[]): Promise<string | null> {
  const bytes = events.reduce((sum, event) => sum + event.length, 0);
  steps = 0;
  maxSteps = MAX_STEPS_PER_BYTE * bytes;
  try {
    const parts = await read(flavour, events);
    const characters = parts
      .flatMap(({ rows }) => rows)
      .flatMap(({ before, after }) => [...(before ?? []), ...(after ?? [])])
      .reduce((sum: number, cell) => sum + charactersOf(cell), 0);
    if (characters > MAX_CHARACTERS_PER_BYTE * bytes) return `${characters} characters of ${bytes} bytes`;
  } catch (error) {
    if (!(error instanceof HaltError)) return `not a halt: ${String(error)}`;
    const { cause } = error;
    // Anything else is a fault of ours that the damage only found.
    if (cause !== undefined && !(cause instanceof RangeError) && !isOfZlib(cause))
      return cause instanceof Error ? cause.message : 'a fault';
  }
  return steps > maxSteps ? `more than ${maxSteps} steps` : null;
}

const isOfZlib = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && /^(Z_|ZSTD_|ERR_)/.test(String(error.code));

describe.each(recordings)('$server, $name', ({ flavour, events: hex }) => {
  const events: Buffer[] = hex.map((each) => Buffer.from(each, 'hex'));

  it('is read as it is', async () => {
    const parts = await read(flavour, events);
    expect(parts.at(-1)!.commit).not.toBeNull();
  });

  it.each(events.map((event, at) => ({ at, type: event[4]! })))(
    'takes bounded work where a byte of event $at (type $type) is another one, is missing, or is followed by more',
    async ({ at }) => {
      const event = events[at]!;
      const random = createRandom(at + 1);
      const faults: string[] = [];
      const read = async (what: string, damaged: Buffer): Promise<void> => {
        const fault = await findFault(flavour, events.with(at, damaged));
        if (fault !== null) faults.push(`${what}: ${fault}`);
      };
      for (let i = 0; i < event.length - CHECKSUM_BYTES; i += 1) {
        const flipped = Buffer.from(event);
        flipped[i]! ^= random(2) ? 1 << random(8) : 1 + random(255);
        await read(`byte ${i} is ${flipped[i]!}`, flipped);
        if (i < HEADER_BYTES || random(6) > 0) continue;
        await read(`cut at ${i}`, Buffer.concat([event.subarray(0, i), Buffer.alloc(CHECKSUM_BYTES)]));
        const more = Buffer.from(Array.from({ length: 1 + random(9) }, () => random(256)));
        const longer = Buffer.concat([event.subarray(0, i), more, event.subarray(i)]);
        await read(`${more.length} bytes more at ${i}`, longer);
      }
      expect(faults).toEqual([]);
    },
  );
});

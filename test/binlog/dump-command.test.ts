import type { Connection } from 'mysql2';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  asCommandConnection,
  ServerCommand,
  type CommandConnection,
} from '../../src/binlog/protocol/dump-command.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import { mayReplicate } from '../../src/binlog/source/log-file.ts';
import { runPreflight } from '../../src/binlog/preflight/preflight.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { createSchema, sharedServer } from '../support/server.ts';

/** What the reader uses of a mysql2 connection. */
const usable = (): Record<string, unknown> => ({
  clientEncoding: 'utf8',
  _resetSequenceId: () => undefined,
  writePacket: () => undefined,
  addCommand: () => undefined,
  destroy: () => undefined,
  stream: { pause: () => undefined, resume: () => undefined, destroy: () => undefined, bytesRead: 0 },
});

it('accepts the connection of the installed mysql2', async () => {
  expect(() => asCommandConnection(usable() as unknown as Connection)).not.toThrow();
  const schema = await createSchema(sharedServer('mysql'));
  const source = openSource(parseDatabaseUrl(schema.url()));
  expect(await mayReplicate(source)).toBe(true);
  await source.close();
  await schema.drop();
});

it.each(Object.keys(usable()))('names %s when mysql2 does not have it', (member) => {
  const connection = { ...usable(), [member]: undefined };
  const ofStream = ['pause', 'resume', 'destroy', 'bytesRead'].map((name) => `connection.stream.${name}`);
  const name = member === 'stream' ? ofStream.join(', ') : `connection.${member}`;
  expect(() => asCommandConnection(connection as unknown as Connection)).toThrow(
    expect.objectContaining({ code: 'ERR_DRIVER', message: `The installed mysql2 has no usable ${name}.` }),
  );
});

it('fails the preflight with the code, not as a server that cannot be reached', async () => {
  const source = openSource(parseDatabaseUrl('mysql://stranger@127.0.0.1:1/none'));
  const identify = (): never => {
    asCommandConnection({} as unknown as Connection);
    throw new Error('unreached');
  };
  const refused = runPreflight({ source: { ...source, identify }, watch: new Map() });
  await expect(refused).rejects.toMatchObject({ code: 'ERR_DRIVER' });
  await source.close();
});

it('ends a command with ERR_DRIVER when the answers have other members', () => {
  const errors: Error[] = [];
  const command = new ServerCommand(Buffer.from([0]), {
    onPacket: () => false,
    onEnd: () => undefined,
    onError: (error) => errors.push(error),
  });
  const connection = usable() as unknown as CommandConnection;
  command.execute(null, connection);
  const packet = {
    buffer: Buffer.alloc(8),
    offset: 4,
    end: 8,
    isError: () => false,
    asError: () => new Error(),
    clone: () => packet,
  };
  expect(command.execute(packet as never, connection)).toBe(true);
  expect(errors).toEqual([
    expect.objectContaining({
      code: 'ERR_DRIVER',
      message: 'The installed mysql2 has no usable packet.isEOF.',
    }),
  ]);
});

describe('a command that was paused', () => {
  const broken = new Error('the server closed the connection');

  /** Packets of one byte, of which 0xfe ends the answer; the command pauses itself at `pauseAt`. */
  function start(pauseAt: number) {
    const seen: unknown[] = [];
    const command: ServerCommand = new ServerCommand(Buffer.from([0]), {
      onPacket: (buffer) => {
        seen.push(buffer[0]);
        if (buffer[0] === pauseAt) command.pause();
        return false;
      },
      onEnd: () => seen.push('end'),
      onError: (error) => seen.push(error),
    });
    const connection = usable() as unknown as CommandConnection;
    command.execute(null, connection);
    const give = (...bytes: number[]): void => {
      for (const byte of bytes) {
        const packet = {
          buffer: Buffer.from([byte]),
          offset: 0,
          end: 1,
          isEOF: () => byte === 0xfe,
          isError: () => false,
          asError: () => new Error(),
          clone: () => ({ ...packet }),
        };
        command.execute(packet, connection);
      }
    };
    return { command, give, seen };
  }

  it('gives out what arrived meanwhile, and the end, before the connection counts as broken', () => {
    const { command, give, seen } = start(1);
    give(1, 2, 3, 0xfe);
    command.onResult(broken);
    expect(seen).toEqual([1]);
    command.resume();
    expect(seen).toEqual([1, 2, 3, 'end']);
  });

  it('reports a connection that broke before the end', () => {
    const { command, give, seen } = start(1);
    give(1, 2);
    command.onResult(broken);
    expect(seen).toEqual([1]);
    command.resume();
    expect(seen).toEqual([1, 2, broken]);
  });

  it('may pause again at what arrived meanwhile', () => {
    const { command, give, seen } = start(2);
    command.pause();
    give(1, 2, 3);
    command.onResult(broken);
    command.resume();
    expect(seen).toEqual([1, 2]);
    command.resume();
    expect(seen).toEqual([1, 2, 3, broken]);
  });

  it('gives out nothing once it is closed', () => {
    const { command, give, seen } = start(1);
    give(1, 2);
    command.onResult(broken);
    command.close();
    command.resume();
    expect(seen).toEqual([1]);
  });
});

it('pins the packages whose members or readings it relies on', async () => {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  const { dependencies } = JSON.parse(text) as { dependencies: Record<string, string> };
  expect([dependencies['mysql2'], dependencies['@vlasky/zongji']]).toEqual([
    expect.stringMatching(/^\d+\.\d+\.\d+$/),
    expect.stringMatching(/^\d+\.\d+\.\d+$/),
  ]);
});

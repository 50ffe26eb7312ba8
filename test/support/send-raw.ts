import type { Connection } from 'mysql2';
import { asCommandConnection, ServerCommand } from '../../src/binlog/protocol/dump-command.ts';
import type { Flavour } from '../../src/binlog/types.ts';

const COM_QUERY = 3;

/** Sends the bytes of a statement unchanged. MySQL expects a count of attributes before them. */
export function sendRaw(connection: Connection, flavour: Flavour, statement: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): true => {
      resolve();
      return true;
    };
    const head = flavour === 'mysql' ? [COM_QUERY, 0, 1] : [COM_QUERY];
    const command = new ServerCommand(Buffer.concat([Buffer.from(head), statement]), {
      onPacket: done,
      onEnd: done,
      onError: reject,
    });
    asCommandConnection(connection).addCommand(command);
  });
}

import { EventEmitter } from 'node:events';
import type { Connection } from 'mysql2';
import { AppError } from '../../lib/errors.ts';

/** The packet that mysql2 passes to a command; valid only during the call. */
interface Packet {
  buffer: Buffer;
  offset: number;
  end: number;
  isEOF(): boolean;
  isError(): boolean;
  asError(encoding: string): Error;
  /** Returns a copy that remains valid. */
  clone(): Packet;
}

/** The part of a mysql2 connection that our own commands use. */
export interface CommandConnection {
  clientEncoding: string;
  _resetSequenceId(): void;
  writePacket(packet: OutPacket): void;
  addCommand(command: ServerCommand): void;
  destroy(): void;
  stream: { pause(): void; resume(): void; destroy(): void; readonly bytesRead: number };
}

/** Undocumented members of mysql2, with their types: package.json pins the version tested with them. */
const connectionMembers: Readonly<Record<string, string>> = {
  clientEncoding: 'string',
  _resetSequenceId: 'function',
  writePacket: 'function',
  addCommand: 'function',
  destroy: 'function',
  'stream.pause': 'function',
  'stream.resume': 'function',
  'stream.destroy': 'function',
  'stream.bytesRead': 'number',
};

const packetMembers: Readonly<Record<string, string>> = {
  buffer: 'object',
  offset: 'number',
  end: 'number',
  isEOF: 'function',
  isError: 'function',
  asError: 'function',
  clone: 'function',
};

/**
 * Returns the connection with its members for our own commands. Throws ERR_DRIVER, with the names, if mysql2 lacks any of them: `run`
 * and `check` call this in the preflight, before anything is read.
 */
export function asCommandConnection(connection: Connection): CommandConnection {
  requireMembers('connection', connection, connectionMembers);
  return connection as unknown as CommandConnection;
}

function requireMembers(what: string, value: unknown, members: Readonly<Record<string, string>>): void {
  const lacking = Object.keys(members).filter((path) => typeof valueAt(value, path) !== members[path]);
  if (lacking.length === 0) return;
  throw new AppError(
    'ERR_DRIVER',
    `The installed mysql2 has no usable ${what}.${lacking.join(`, ${what}.`)}.`,
  );
}

function valueAt(value: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (at, name) => (typeof at === 'object' && at !== null ? (Reflect.get(at, name) as unknown) : undefined),
      value,
    );
}

/** An outgoing packet: four header bytes, which mysql2 fills in, then the payload. */
class OutPacket {
  readonly buffer: Buffer;

  constructor(payload: Buffer) {
    this.buffer = Buffer.concat([Buffer.alloc(4), payload]);
  }

  length(): number {
    return this.buffer.length;
  }

  writeHeader(sequenceId: number): void {
    this.buffer.writeUIntLE(this.buffer.length - 4, 0, 3);
    this.buffer.writeUInt8(sequenceId, 3);
  }
}

const COM_BINLOG_DUMP = 0x12;
const COM_REGISTER_SLAVE = 0x15;
const COM_BINLOG_DUMP_GTID = 0x1e;
const NON_BLOCKING = 1;

/** COM_BINLOG_DUMP: MariaDB starts from @slave_connect_state if it is set, and then ignores file and offset. */
export function dumpPacket(options: {
  serverId: number;
  file: string;
  offset: number;
  /** Ends the dump at the end of the log instead of waiting for more. */
  endsWithLog?: boolean;
}): Buffer {
  const file = Buffer.from(options.file, 'utf8');
  const out = Buffer.alloc(11 + file.length);
  out.writeUInt8(COM_BINLOG_DUMP, 0);
  out.writeUInt32LE(options.offset, 1);
  out.writeUInt16LE(options.endsWithLog ? NON_BLOCKING : 0, 5);
  out.writeUInt32LE(options.serverId, 7);
  file.copy(out, 11);
  return out;
}

/** COM_BINLOG_DUMP_GTID: the server finds the file and omits every transaction in the encoded set. */
export function dumpGtidPacket(options: {
  serverId: number;
  gtidSet: Buffer;
  endsWithLog?: boolean;
}): Buffer {
  const out = Buffer.alloc(23 + options.gtidSet.length);
  out.writeUInt8(COM_BINLOG_DUMP_GTID, 0);
  out.writeUInt16LE(options.endsWithLog ? NON_BLOCKING : 0, 1);
  out.writeUInt32LE(options.serverId, 3);
  out.writeUInt32LE(0, 7);
  out.writeBigUInt64LE(4n, 11);
  out.writeUInt32LE(options.gtidSet.length, 19);
  options.gtidSet.copy(out, 23);
  return out;
}

/** COM_REGISTER_SLAVE: makes the reader visible in SHOW REPLICAS. User and password remain empty. */
export function registerPacket(options: { serverId: number; host: string }): Buffer {
  const host = Buffer.from(options.host, 'utf8').subarray(0, 60);
  const out = Buffer.alloc(1 + 4 + 1 + host.length + 1 + 1 + 2 + 4 + 4);
  out.writeUInt8(COM_REGISTER_SLAVE, 0);
  out.writeUInt32LE(options.serverId, 1);
  out.writeUInt8(host.length, 5);
  host.copy(out, 6);
  return out;
}

export interface CommandHandlers {
  /** One response packet: `buffer[start]` is the first byte after the OK byte. Returns true to end the command. */
  onPacket(buffer: Buffer, start: number, end: number): boolean;
  onEnd(): void;
  onError(error: Error): void;
}

/**
 * A protocol command of our own in mysql2's queue: it sends one packet and receives every response until it ends.
 *
 * It has its own pause instead of mysql2's `pause`: a server closes the connection right after the end of its log, and Node reports the
 * close even for a paused socket. mysql2 then drops its buffered packets, including the end of the log, and reports a broken
 * connection.
 */
export class ServerCommand extends EventEmitter {
  readonly #payload: Buffer;
  readonly #verbs: CommandHandlers;
  #sent = false;
  #answered = false;
  #closed = false;
  #connection: CommandConnection | undefined;
  #paused = false;
  /** Packets that arrived after the pause: the rest of the chunk being read. */
  #kept: Packet[] = [];
  /** The connection broke during the pause. */
  #broken: Error | undefined;

  constructor(payload: Buffer, verbs: CommandHandlers) {
    super();
    this.#payload = payload;
    this.#verbs = verbs;
  }

  /** mysql2 calls this when the connection breaks. During a pause the error is reported after the packets that arrived before it. */
  readonly onResult = (error: Error): void => {
    if (this.#closed) return;
    if (this.#paused) this.#broken = error;
    else this.#fail(error);
  };

  /** Delivers neither packets nor errors until `resume`; the socket is not read in the meantime. */
  pause(): void {
    this.#paused = true;
    this.#connection?.stream.pause();
  }

  /** Delivers what arrived in the meantime, then continues to read. A packet may pause the command again. */
  resume(): void {
    this.#paused = false;
    const kept = this.#kept;
    let next = 0;
    while (next < kept.length && !this.#isHeld()) this.#take(kept[next++]!);
    if (this.#closed) return;
    this.#kept = kept.slice(next);
    if (this.#isHeld()) return;
    if (this.#broken) this.#fail(this.#broken);
    else this.#connection?.stream.resume();
  }

  /** Ignores later packets: mysql2 still delivers those it has buffered. */
  close(): void {
    this.#closed = true;
    this.#kept = [];
  }

  /** mysql2's contract: called first without a packet, then for every packet; true ends the command. */
  execute(packet: Packet | null, connection: CommandConnection): boolean {
    if (!this.#sent) {
      this.#sent = true;
      this.#connection = connection;
      connection._resetSequenceId();
      connection.writePacket(new OutPacket(this.#payload));
      return false;
    }
    if (this.#closed || !packet) return true;
    if (!this.#answered && !this.#isUsable(packet)) return this.#end();
    if (this.#paused) {
      this.#kept.push(packet.clone());
      return false;
    }
    return this.#take(packet);
  }

  #isHeld(): boolean {
    return this.#paused || this.#closed;
  }

  /** Returns true to end the command. */
  #take(packet: Packet): boolean {
    if (packet.isError()) {
      this.#fail(packet.asError(this.#connection?.clientEncoding ?? 'utf8'));
      return this.#end();
    }
    if (packet.isEOF()) {
      this.#closed = true;
      this.#verbs.onEnd();
      return this.#end();
    }
    return this.#verbs.onPacket(packet.buffer, packet.offset + 1, packet.end) ? this.#end() : false;
  }

  #fail(error: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#verbs.onError(error);
  }

  /** Checks only the first response: mysql2 builds every packet from one class. */
  #isUsable(packet: Packet): boolean {
    this.#answered = true;
    try {
      requireMembers('packet', packet, packetMembers);
      return true;
    } catch (error) {
      this.#fail(error as Error);
      return false;
    }
  }

  #end(): true {
    this.#closed = true;
    this.emit('end');
    return true;
  }
}

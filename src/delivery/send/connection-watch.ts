import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/** The channel on which undici reports the socket of a request (undici 7, docs/api/DiagnosticsChannel). */
const channel = 'undici:client:sendHeaders';

interface Sending {
  request: { body: unknown };
  socket: Socket;
}

/** The connection of a request. */
export interface SentOn {
  /** Whether the connection was open before this request and no byte has arrived since: it may have been dead when the request was sent. */
  isSilentReuse(): boolean;
}

/** Knows on which connection each request went out. Requests are identified by the buffer of their body, of which each has its own. */
export class ConnectionWatch {
  readonly #awaited = new WeakMap<Buffer, (socket: Socket) => void>();
  readonly #used = new WeakSet<Socket>();
  readonly #onSending = (message: unknown): void => {
    const { request, socket } = message as Sending;
    if (Buffer.isBuffer(request.body)) this.#awaited.get(request.body)?.(socket);
  };

  constructor() {
    subscribe(channel, this.#onSending);
  }

  /** To be called before the request with this body is dispatched. */
  follow(body: Buffer): SentOn {
    let socket: Socket | undefined;
    let isReuse = false;
    let bytesBefore = 0;
    this.#awaited.set(body, (taken) => {
      socket = taken;
      isReuse = this.#used.has(taken);
      bytesBefore = taken.bytesRead;
      this.#used.add(taken);
    });
    return { isSilentReuse: () => isReuse && socket?.bytesRead === bytesBefore };
  }

  close(): void {
    unsubscribe(channel, this.#onSending);
  }
}

import type { BinlogStream } from '../../binlog/stream.ts';
import type { CaptureStatus } from '../capture-status.ts';

/** The open reader, if any. */
export class CurrentReader {
  #stream: BinlogStream | undefined;
  #asked = 0;

  /** How often another reader was requested: a reader that is just being opened may have begun with the former configuration. */
  get asked(): number {
    return this.#asked;
  }

  /** Closes the present reader: the loop opens the next one. */
  reopen(): void {
    this.#asked += 1;
    this.#stream?.close();
  }

  /** Reads from a stream, which is closed at the end, at `signal`, or at once if another reader was requested after `asked`. */
  async use<T>(
    stream: BinlogStream,
    { signal, asked }: { signal: AbortSignal; asked: number },
    read: () => Promise<T>,
  ): Promise<T> {
    this.#stream = stream;
    const close = (): void => stream.close();
    signal.addEventListener('abort', close, { once: true });
    if (signal.aborted || this.#asked !== asked) close();
    try {
      return await read();
    } finally {
      signal.removeEventListener('abort', close);
      close();
      this.#stream = undefined;
    }
  }

  progress(): Pick<CaptureStatus, 'silentMs' | 'doneTo'> {
    return { silentMs: this.#stream?.silentMs() ?? null, doneTo: this.#stream?.doneTo() ?? null };
  }
}

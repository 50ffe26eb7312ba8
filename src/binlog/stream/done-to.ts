import { furthest } from '../position/log-place.ts';
import type { LogPlace } from '../types.ts';

/** Tracks up to where everything was read and processed. Null until the server has named the file that it reads from. */
export class DoneTo {
  /** The end of everything that was taken. */
  #given: LogPlace | null = null;
  #done: LogPlace | null = null;
  /** The reader waits for the server, and everything taken has been processed. */
  #isIdle = false;
  /** The place of the last heartbeat. */
  #heard: LogPlace | undefined;

  /** A dump begins with the name of the server's own file. */
  name(place: LogPlace): void {
    if (!this.#given) this.#given = this.#done = place;
  }

  hear(place: LogPlace): void {
    this.#heard = place;
  }

  /** The caller requests more: it has processed what was taken before. */
  ask(): void {
    this.#done = this.#given;
  }

  wait(): void {
    this.#isIdle = true;
  }

  /** More was taken; undefined if the taken parts do not determine their end. */
  give(place: LogPlace | undefined): void {
    this.#isIdle = false;
    this.#given = place ?? this.#given;
  }

  /** `read`: up to where the log was read if nothing is waiting to be taken, otherwise null. */
  place(read: LogPlace | null): LogPlace | null {
    return this.#isIdle && read && this.#given ? furthest(read, this.#heard) : this.#done;
  }
}

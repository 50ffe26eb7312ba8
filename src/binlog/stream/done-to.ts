import { furthest } from '../position/log-place.ts';
import type { LogPlace } from '../types.ts';

/** How far everything was read and is done with. Null until the server has named the file that it reads from. */
export class DoneTo {
  /** How far what was taken last goes, and what was taken before it. */
  #given: LogPlace | null = null;
  #done: LogPlace | null = null;
  /** The reader waits for the server, and everything that was taken is done with. */
  #isIdle = false;
  /** Where the last heartbeat stood. */
  #heard: LogPlace | undefined;

  /** A dump begins with the name of the server's own file. */
  name(place: LogPlace): void {
    if (!this.#given) this.#given = this.#done = place;
  }

  hear(place: LogPlace): void {
    this.#heard = place;
  }

  /** More is asked for: what was taken before is done with. */
  ask(): void {
    this.#done = this.#given;
  }

  wait(): void {
    this.#isIdle = true;
  }

  /** More was taken; undefined where that does not show how far it goes. */
  give(place: LogPlace | undefined): void {
    this.#isIdle = false;
    this.#given = place ?? this.#given;
  }

  /** `read`: how far the log was read where nothing waits to be taken, otherwise null. */
  place(read: LogPlace | null): LogPlace | null {
    return this.#isIdle && read && this.#given ? furthest(read, this.#heard) : this.#done;
  }
}

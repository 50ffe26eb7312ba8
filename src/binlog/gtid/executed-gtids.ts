import { parseMariadbGtids } from './gtid.ts';
import { readGtidList } from './read-gtid.ts';
import { isLaterFile } from '../position/log-place.ts';
import { FLAG_ARTIFICIAL, type LogEvent } from '../protocol/log-event.ts';
import type { Position } from '../types.ts';
import { RetiredDomainError } from '../transaction/stale-schema.ts';

export interface ExecutedGtidsOptions {
  /** Adds a GTID to what is executed and returns the whole set as text. Null where the server has none. */
  gtidSet: { add(gtid: string): void; toString(): string } | null;
  position: Position;
  /**
   * MariaDB: `requireDomains` throws at a file whose list of GTIDs lacks a domain of the position, unless it is this file; ''
   * for none. Left out, the lists are not looked at.
   */
  trustedFile?: string;
}

/** The GTIDs of everything that was read. */
export class ExecutedGtids {
  readonly #options: ExecutedGtidsOptions;

  constructor(options: ExecutedGtidsOptions) {
    this.#options = options;
  }

  /** All of them as text; null where the server has none. */
  get text(): string | null {
    return this.#options.gtidSet?.toString() ?? null;
  }

  /** Adds that of a transaction that was read whole; null for one without. */
  add(gtid: string | null): void {
    if (gtid !== null) this.#options.gtidSet?.add(gtid);
  }

  /**
   * The list at the head of a MariaDB file names every domain that the log has had up to there, except retired ones
   * (FLUSH BINARY LOGS DELETE_DOMAIN_ID): they may be used again under numbers that were read, for other transactions.
   * Throws a RetiredDomainError where one that was read is missing.
   */
  requireDomains(event: LogEvent, file: string): void {
    const { gtidSet, position, trustedFile } = this.#options;
    if (trustedFile === undefined || !gtidSet || event.flags & FLAG_ARTIFICIAL) return;
    // A dump that begins by GTIDs may show older files, from before a domain was first used.
    if (file === trustedFile || !isLaterFile(file, position.file)) return;
    const listed = new Set(readGtidList(event).map(({ domain }) => domain));
    if (parseMariadbGtids(gtidSet.toString()).some(({ domain }) => !listed.has(domain)))
      throw new RetiredDomainError(file);
  }
}

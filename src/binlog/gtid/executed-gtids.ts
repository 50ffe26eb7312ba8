import { parseMariadbGtids } from './gtid.ts';
import { readGtidList } from './read-gtid.ts';
import { isLaterFile } from '../position/log-place.ts';
import { FLAG_ARTIFICIAL, type LogEvent } from '../protocol/log-event.ts';
import type { Position } from '../types.ts';
import { RetiredDomainError } from '../transaction/stale-schema.ts';

export interface ExecutedGtidsOptions {
  /** Adds a GTID to the executed set and returns the whole set as text. Null if the server has no GTIDs. */
  gtidSet: { add(gtid: string): void; toString(): string } | null;
  position: Position;
  /**
   * MariaDB: `requireDomains` throws at a file whose GTID list lacks a domain of the position, unless it is this file; '' for none. If
   * omitted, the lists are not checked.
   */
  trustedFile?: string;
}

/** The GTIDs of all transactions read so far. */
export class ExecutedGtids {
  readonly #options: ExecutedGtidsOptions;

  constructor(options: ExecutedGtidsOptions) {
    this.#options = options;
  }

  /** The executed set as text; null if the server has no GTIDs. */
  get text(): string | null {
    return this.#options.gtidSet?.toString() ?? null;
  }

  /** Adds the GTID of a completely read transaction; null for a transaction without one. */
  add(gtid: string | null): void {
    if (gtid !== null) this.#options.gtidSet?.add(gtid);
  }

  /**
   * The GTID list at the head of a MariaDB file names every domain in the log up to there, except retired ones (FLUSH BINARY LOGS
   * DELETE_DOMAIN_ID): a retired domain may later reuse numbers already read, for other transactions. Throws a RetiredDomainError if a
   * domain that was read is missing.
   */
  requireDomains(event: LogEvent, file: string): void {
    const { gtidSet, position, trustedFile } = this.#options;
    if (trustedFile === undefined || !gtidSet || event.flags & FLAG_ARTIFICIAL) return;
    // A dump that starts from GTIDs may include older files, from before a domain was first used.
    if (file === trustedFile || !isLaterFile(file, position.file)) return;
    const listed = new Set(readGtidList(event).map(({ domain }) => domain));
    if (parseMariadbGtids(gtidSet.toString()).some(({ domain }) => !listed.has(domain)))
      throw new RetiredDomainError(file);
  }
}

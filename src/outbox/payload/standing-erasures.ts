import { readPassage } from '../../binlog/gtid/contains-position.ts';
import type { Flavour, Position } from '../../binlog/types.ts';
import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import type { DomainEvent } from '../../event/types.ts';
import type { Counters } from '../checkpoint.ts';
import { storedKey } from '../append/lane.ts';
import { fromSqlDatetime } from '../sql-datetime.ts';
import { eraseAction } from './payload-acts.ts';

/*
 * An erasure also covers changes that were committed before it and are read after it, because capture may be down, halted or behind. The act (audit entry)
 * of the erasure records where the log ended. An event about the patient from before that position is recorded without its payload, and is not sent.
 *
 * The act stays valid: it is checked whenever an event about that patient is written, also after a restart, by another process, and for a transaction that
 * is read again. An erasure moves the counters of the log under the lock of the checkpoint's row. An append that was planned without the erasure therefore
 * fails, and is planned again with it.
 */

/** The end of the source's log at an erasure: a part of its act. */
export interface LogEnd {
  flavour: Flavour;
  /** Null when the source did not answer: then the time of the erasure counts. */
  position: Position | null;
}

interface StandingErasure extends LogEnd {
  /** The lineage of the log of the position; null before the first run. */
  lineage: string | null;
  atMs: number;
}

/** The parts of a captured event that an erasure needs. */
export interface ErasableEvent {
  event: DomainEvent;
  transactionId: string;
}

export class StandingErasures {
  readonly #session: Session;
  readonly #cipher: Cipher;
  #expected: Counters | undefined;
  #newestAct = 0;
  #lineage: string | null = null;
  #bySubject = new Map<string, StandingErasure[]>();

  constructor(session: Session, cipher: Cipher) {
    this.#session = session;
    this.#cipher = cipher;
  }

  /** The events among these that an erasure covers, for a plan that starts from these counters. */
  async coveredBy<Event extends ErasableEvent>(
    events: readonly Event[],
    counters: Counters,
  ): Promise<ReadonlySet<Event>> {
    if (!this.#expects(counters)) await this.#read();
    const covered = new Set<Event>();
    for (const each of events) {
      const { subject } = each.event;
      const erasures = subject === null ? undefined : this.#bySubject.get(storedKey(subject));
      for (const erasure of erasures ?? []) if (await this.#covers(erasure, each)) covered.add(each);
    }
    return covered;
  }

  /** Records a plan before it is written, whether the write succeeds or not. */
  remember(after: Counters): void {
    this.#expected = after;
  }

  #expects({ epoch, nextEventSeq, nextDeliveryId }: Counters): boolean {
    const expected = this.#expected;
    return (
      expected?.epoch === epoch &&
      expected.nextEventSeq === nextEventSeq &&
      expected.nextDeliveryId === nextDeliveryId
    );
  }

  /** Replays and retries move the counters too: the acts are read again only after a new one. */
  async #read(): Promise<void> {
    const [row] = await this.#session.rows<{ newest: number; lineage: string | null }>(
      `SELECT c.lineage, (SELECT COALESCE(MAX(id), 0) FROM audit_log WHERE action = ?) AS newest
       FROM checkpoint c WHERE c.id = 1`,
      [eraseAction],
    );
    this.#lineage = row!.lineage;
    if (row!.newest === this.#newestAct) return;
    const acts = await readMarkedActs(this.#session, this.#cipher, { action: eraseAction });
    const bySubject = new Map<string, StandingErasure[]>();
    for (const { at, target, details } of acts) {
      const end = details?.['log_end'] as (LogEnd & { lineage: string | null }) | undefined;
      if (end === undefined || target === null) continue;
      bySubject.set(target, [...(bySubject.get(target) ?? []), { ...end, atMs: fromSqlDatetime(at) }]);
    }
    this.#bySubject = bySubject;
    this.#newestAct = row!.newest;
  }

  async #covers(
    { flavour, position, lineage, atMs }: StandingErasure,
    { event, transactionId }: ErasableEvent,
  ): Promise<boolean> {
    const isEarlier = event.occurredAtMs <= atMs;
    if (position === null) return isEarlier;
    // After a RESET or a restored backup the same positions and GTIDs are used again, in another lineage.
    if (lineage === null ? !isEarlier : this.#lineage !== null && lineage !== this.#lineage) return false;
    const passage = await readPassage(position, flavour, transactionId);
    // After a promotion on MariaDB the numbers do not decide it. An erased patient's payload must not be stored, and a later event must not be withheld.
    return passage === 'passed' || (passage === 'unclear' && isEarlier);
  }
}

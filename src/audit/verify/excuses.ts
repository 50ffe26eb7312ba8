import type { Session } from '../../db/connection/client.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import type { Marker } from '../../db/proof/marks.ts';
import { fromSqlDatetime } from '../../outbox/sql-datetime.ts';
import { eraseAction } from '../../outbox/payload/payload-acts.ts';
import { subjectOf } from '../../outbox/payload/subject-keys.ts';
import { readPrunedRanges, type PrunedRange } from '../act/retention-acts.ts';

interface Erased {
  lastEvent: number;
  atMs: number;
  /** Whether it also covers events from before it that were captured later: those never had a payload (outbox/standing-erasures). */
  stands: boolean;
}

/** The clocks of source and store may differ by this much when the time of a late event is compared with the time of its erasure. */
const skewMs = 60_000;

export interface Gone {
  eventSeq: number;
  subject: string | null;
  /** When the event was written, as sealed; null if unknown. */
  createdAt: string | null;
  /** Commit time of an event that was sealed without a payload. */
  bodilessFrom?: string;
}

/** An erasure removes rows one by one after its act: it may run for this long. */
const underWayMs = 5 * 60_000;

/** Why a payload may be gone: erasures and decisions of retention, from acts that this program wrote. */
export class Excuses {
  readonly #session: Session;
  readonly #marker: Marker;
  #erased = new Map<string, Erased[]>();
  #pruned: readonly PrunedRange[] = [];
  /** The last event pruned by version f84be48. */
  #adoptedTo = 0;

  constructor(session: Session, marker: Marker) {
    this.#session = session;
    this.#marker = marker;
  }

  /** Reads the acts again: a payload may have been erased or pruned meanwhile. */
  async read(): Promise<void> {
    const erased = new Map<string, Erased[]>();
    for (const { at, target, details } of await readMarkedActs(this.#session, this.#marker, {
      action: eraseAction,
    })) {
      const list = erased.get(target!) ?? [];
      list.push({
        lastEvent: Number(details?.['last_event']),
        atMs: fromSqlDatetime(at),
        stands: details?.['log_end'] !== undefined,
      });
      erased.set(target!, list);
    }
    this.#erased = erased;
    this.#pruned = await readPrunedRanges(this.#session, this.#marker);
    const [adopted] = await readMarkedActs(this.#session, this.#marker, { action: 'store.adopt', newest: 1 });
    this.#adoptedTo = Number(adopted?.details?.['pruned_to'] ?? 0);
  }

  of({ eventSeq, subject, createdAt, bodilessFrom }: Gone): 'pruned' | 'erased' | undefined {
    const wasOld = (range: PrunedRange): boolean =>
      createdAt === null || fromSqlDatetime(createdAt) <= fromSqlDatetime(range.at) - range.retentionMs;
    if (eventSeq <= this.#adoptedTo) return 'pruned';
    if (this.#pruned.some((range) => eventSeq <= range.toSeq && wasOld(range))) return 'pruned';
    if (this.isErased(subject, eventSeq)) return 'erased';
    if (subject === null || bodilessFrom === undefined) return undefined;
    const erasures = this.#erased.get(subjectOf(subject)) ?? [];
    const isCovered = erasures.some(
      ({ stands, atMs }) => stands && fromSqlDatetime(bodilessFrom) <= atMs + skewMs,
    );
    return isCovered ? 'erased' : undefined;
  }

  /** Whether an erasure covers an event that was read after it: such an event is written without a payload. */
  mayBeBodiless(subject: string | null): boolean {
    return subject !== null && this.#erased.has(subjectOf(subject));
  }

  isErased(subject: string | null, eventSeq: number): boolean {
    return subject !== null && this.#erasures(subject, eventSeq).length > 0;
  }

  /** Whether an erasure began so recently that it may not have reached this payload yet. */
  isBeingErased(subject: string | null, eventSeq: number, nowMs: number): boolean {
    return (
      subject !== null && this.#erasures(subject, eventSeq).some(({ atMs }) => nowMs - atMs < underWayMs)
    );
  }

  /** Times of the erasures that ended deliveries of this event. */
  erasedAtMs(subject: string | null, eventSeq: number): number[] {
    return subject === null ? [] : this.#erasures(subject, eventSeq).map(({ atMs }) => atMs);
  }

  /** The last event whose payload retention may have removed. */
  get prunedTo(): number {
    return Math.max(this.#adoptedTo, ...this.#pruned.map(({ toSeq }) => toSeq));
  }

  #erasures(subject: string, eventSeq: number): Erased[] {
    return (this.#erased.get(subjectOf(subject)) ?? []).filter(({ lastEvent }) => eventSeq <= lastEvent);
  }
}

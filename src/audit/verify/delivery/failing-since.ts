import type { Session } from '../../../db/connection/client.ts';
import { momentMs } from '../../../outbox/moment.ts';
import { fail } from '../flaw.ts';

interface Claimed {
  since: string;
  sinceMs: number;
  isExplained: boolean;
}

interface Outcome {
  outcome: string;
  recordedAt: string | null;
}

/** Longer than two settlements, whose statements end after 60 s each, can overtake each other. */
const overtakingMs = 5 * 60_000;

/**
 * Compares since when webhooks are failing with their attempts: it is the moment when a failed attempt was recorded, and a delivery since
 * would have ended it. A moment that SQL set to NULL is not found: a person or an edit may have reset it.
 */
export class FailingSince {
  readonly #claims: ReadonlyMap<number, Claimed>;

  private constructor(claims: ReadonlyMap<number, Claimed>) {
    this.#claims = claims;
  }

  /** Reads what the webhooks say, before their attempts are read. `knownFrom`: of what was before, the attempts may be gone. */
  static async read(session: Session, knownFrom: string | null): Promise<FailingSince> {
    const rows = await session.rows<{ id: number; since: string }>(
      'SELECT id, failing_since AS since FROM webhooks WHERE failing_since IS NOT NULL',
    );
    return new FailingSince(
      new Map(
        rows.map(({ id, since }) => [
          id,
          { since, sinceMs: momentMs(since), isExplained: knownFrom !== null && since <= knownFrom },
        ]),
      ),
    );
  }

  /** Takes note of an attempt. */
  see(webhook: number, { outcome, recordedAt }: Outcome): void {
    const claimed = this.#claims.get(webhook);
    if (!claimed || recordedAt === null) return;
    if (outcome === 'delivered') {
      if (momentMs(recordedAt) > claimed.sinceMs + overtakingMs)
        this.#fail(webhook, 'and an attempt was delivered since');
    } else if (outcome !== 'lost' && recordedAt === claimed.since) {
      claimed.isExplained = true;
    }
  }

  /** Once all attempts were seen. */
  end(): void {
    for (const [id, { isExplained }] of this.#claims)
      if (!isExplained) this.#fail(id, 'and no attempt that failed was recorded then');
  }

  #fail(webhook: number, why: string): never {
    const fields = ['failing_since'];
    return fail('edited', {
      message: `webhook ${webhook}: failing_since was edited: it is set, ${why}`,
      fields,
    });
  }
}

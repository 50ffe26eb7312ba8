import { monotonicMs } from '../../lib/clock.ts';
import type { Session } from '../../db/connection/client.ts';
import { aliveHolders } from '../queue/heartbeat.ts';
import { readClaims, type Claim, type ClaimsNow } from './file-claims.ts';

/** A daemon that is restarted is back well within this: 3 s on an idle machine, 20 s behind a large log. */
const graceMs = 30_000;

/**
 * What this process remembers of daemons that have ended: what they claimed counts as named by a file for another 30 s. Without it a restart of the one
 * daemon that has a webhook in its file deactivates the webhook, and what is captured meanwhile is not queued for it.
 */
export class EndedClaims {
  readonly #nowMs: () => number;
  /** By owner; when it was last seen to run. */
  readonly #seen = new Map<string, { claims: Claim[]; atMs: number }>();

  constructor(nowMs: () => number = monotonicMs) {
    this.#nowMs = nowMs;
  }

  /** Reads what running daemons claim, and adds what those claimed that have ended within the last 30 s. */
  async read(session: Session): Promise<ClaimsNow> {
    const present = await readClaims(session);
    // A daemon that runs with an empty file claims nothing.
    const holders = await session.rows<{ holder: string }>(aliveHolders);
    const nowMs = this.#nowMs();
    const running = new Set(holders.map(({ holder }) => holder));
    for (const owner of running) {
      const claims = present.filter((claim) => claim.owner === owner);
      this.#seen.set(owner, { claims, atMs: nowMs });
    }
    for (const [owner, { atMs }] of this.#seen) if (nowMs - atMs >= graceMs) this.#seen.delete(owner);
    const ended = [...this.#seen].flatMap(([owner, { claims }]) => (running.has(owner) ? [] : claims));
    return { present, ended };
  }
}

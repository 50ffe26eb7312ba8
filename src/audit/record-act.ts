import type { Session } from '../db/client.ts';

/** Who did something: a token's name with its role, or the operating system's user at the command line. */
export interface Actor {
  name: string;
  role: 'admin' | 'operator' | 'auditor' | 'local';
}

/** What a person did. `details` never holds a payload or a secret. */
export interface Act {
  actor: Actor;
  /** `webhook.rotate-secret`, `capture.accept-gap`: noun and verb. */
  action: string;
  /** Name or id of what it was done to. */
  target?: string;
  details?: Readonly<Record<string, unknown>>;
}

/** Writes an act into the audit log: in the transaction of the act itself, where there is one. */
export async function recordAct(session: Session, { actor, action, target, details }: Act): Promise<void> {
  await session.run('INSERT INTO audit_log (actor, role, action, target, details) VALUES (?, ?, ?, ?, ?)', [
    actor.name,
    actor.role,
    action,
    target ?? null,
    details === undefined ? null : JSON.stringify(details),
  ]);
}

import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';

/*
 * Acts (audit entries) that determine which payloads may exist, and whether they are encrypted. They are trusted when this program wrote them (their marks
 * are valid): the columns with the same information are only cursors, which SQL can change.
 */

/** Records that payloads are encrypted from now on: payloads of events up to `clear_to` stay in clear text until they are encrypted. */
export const encryptAction = 'payloads.encrypt';
/** All payloads are encrypted. */
export const encryptedAction = 'payloads.encrypted';
export const eraseAction = 'patient.erase';

/** The last event whose payload may be in clear text in a store that encrypts; 0 for none. */
export async function readClearTo(session: Session, cipher: Cipher): Promise<number> {
  const [last] = await readMarkedActs(session, cipher, { action: 'payloads.encrypt%', newest: 1 });
  return last?.action === encryptAction ? Number(last.details?.['clear_to']) : 0;
}

/** By subject, the last event that was erased. */
export async function readErasures(
  session: Session,
  cipher: Cipher,
  subjects: readonly string[],
): Promise<Map<string, number>> {
  if (subjects.length === 0) return new Map();
  const acts = await readMarkedActs(session, cipher, {
    action: eraseAction,
    targets: [...new Set(subjects)],
  });
  return new Map(acts.map(({ target, details }) => [target!, Number(details?.['last_event'])]));
}

import type { Session } from '../../db/connection/client.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import type { Marker } from '../../db/proof/marks.ts';

export const beginAnewAction = 'audit.begin-anew';

/** The last rows that a new log took over without proof, because an administrator accepted it. */
export interface AcceptedEntries {
  attempts: number;
  audit_log: number;
  delivery_log: number;
}

/** Read from the act that began the log; zeros if it began with an empty store. */
export async function readAcceptedEntries(session: Session, marker: Marker): Promise<AcceptedEntries> {
  const [act] = await readMarkedActs(session, marker, { action: beginAnewAction, newest: 1 });
  const nothing: AcceptedEntries = { attempts: 0, audit_log: 0, delivery_log: 0 };
  return (act?.details?.['taken_over'] as AcceptedEntries | undefined) ?? nothing;
}

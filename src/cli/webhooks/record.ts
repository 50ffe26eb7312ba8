import { recordAct, type Act } from '../../audit/record-act.ts';
import type { Along } from '../../outbox/webhook-registry.ts';
import { localActor } from '../local-actor.ts';

/** Puts an act of the command line on record, within the transaction of the change. */
export function recordAlong(action: `webhook.${string}`, details?: Act['details']): Along {
  return (tx, id) =>
    recordAct(tx, {
      actor: localActor(),
      action,
      target: String(id),
      ...(details === undefined ? {} : { details }),
    });
}

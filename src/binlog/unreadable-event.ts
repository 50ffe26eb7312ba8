import { Tripwire } from './halt.ts';
import { eventType } from './log-event.ts';

/** Why capture stops at an event of a type that is not read. */
export function unreadableEvent(type: number): Tripwire {
  switch (type) {
    case eventType.partialUpdateRows:
      return new Tripwire(
        'partial-json',
        'the log holds a partial JSON update, which says only what changed inside the value',
        { remedy: "SET PERSIST binlog_row_value_options = '';" },
      );
    case eventType.incident:
      return new Tripwire('incident', 'the server logged an incident: changes may be missing from its log', {
        remedy:
          'Find the cause in the server\'s error log, then: odontology-webhooks resume --accept-gap --reason "…"',
      });
    default:
      return new Tripwire('unknown-event', `the log holds an event of the unknown type ${type}`, {
        remedy:
          'Upgrade odontology-webhooks to a version that knows this server, or: odontology-webhooks resume --accept-gap --reason "…"',
      });
  }
}
